//! Queries on layers, packs and views.

use rusqlite::params;
use strata_layer::PackId;
use strata_model::{ChainId, DiffId, Digest};
use strata_store::{LayerRow, Location, PackRow, Result};

use crate::dialect::sqlite::{Row, Session};
use crate::objects::{digest, integer};

const LAYER: &str = "diff_id, index_location, tar_size, content_size, entries, shared_size, damaged";
const PACK: &str = "id, location, length, damaged";

fn layer(row: &Row<'_>) -> Result<LayerRow> {
    Ok(LayerRow {
        diff_id: DiffId(digest(row, 0)?),
        index: Location(row.get(1)?),
        tar_size: row.size(2)?,
        content_size: row.size(3)?,
        entries: row.size(4)?,
        shared_size: row.size(5)?,
        damaged: row.get(6)?,
    })
}

fn pack(row: &Row<'_>) -> Result<PackRow> {
    Ok(PackRow { id: pack_id(row, 0)?, location: Location(row.get(1)?), length: row.size(2)?, damaged: row.get(3)? })
}

fn pack_id(row: &Row<'_>, column: usize) -> Result<PackId> {
    row.parsed(column, parse_pack_id)
}

/// The identity that [`PackId`] prints.
pub(crate) fn parse_pack_id(text: &str) -> Option<PackId> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(PackId(number.to_be_bytes()))
}

impl Session {
    pub(crate) fn layer(&self, diff_id: &DiffId) -> Result<Option<LayerRow>> {
        self.row(&format!("SELECT {LAYER} FROM layers WHERE diff_id = ?1"), [diff_id.to_string()], layer)
    }

    pub(crate) fn layer_of_blob(&self, blob: &Digest) -> Result<Option<DiffId>> {
        let sql = "SELECT layer FROM layer_blobs WHERE blob = ?1";
        self.row(sql, [blob.to_string()], |row| Ok(DiffId(digest(row, 0)?)))
    }

    pub(crate) fn blobs_of_layer(&self, diff_id: &DiffId) -> Result<Vec<Digest>> {
        let sql = "SELECT blob FROM layer_blobs WHERE layer = ?1 ORDER BY blob";
        self.rows(sql, [diff_id.to_string()], |row| digest(row, 0))
    }

    pub(crate) fn layers(&self) -> Result<Vec<LayerRow>> {
        self.rows(&format!("SELECT {LAYER} FROM layers ORDER BY diff_id"), [], layer)
    }

    pub(crate) fn layer_is_held(&self, diff_id: &DiffId, now: i64) -> Result<bool> {
        self.exists(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM layer_blobs WHERE layer = ?1)
             OR EXISTS (SELECT 1 FROM lease_items i JOIN leases l ON l.id = i.lease
                        WHERE i.kind = 'layer' AND i.item = ?1 AND l.expires > ?2)",
            params![diff_id.to_string(), now],
        )
    }

    pub(crate) fn pack(&self, id: &PackId) -> Result<Option<PackRow>> {
        self.row(&format!("SELECT {PACK} FROM packs WHERE id = ?1"), [id.to_string()], pack)
    }

    pub(crate) fn packs(&self) -> Result<Vec<PackRow>> {
        self.rows(&format!("SELECT {PACK} FROM packs ORDER BY id"), [], pack)
    }

    pub(crate) fn newest_packs(&self, limit: usize) -> Result<Vec<PackRow>> {
        let sql = format!("SELECT {PACK} FROM packs WHERE damaged = 0 ORDER BY published DESC LIMIT ?1");
        self.rows(&sql, [integer(limit as u64)], pack)
    }

    pub(crate) fn packs_of_layer(&self, diff_id: &DiffId) -> Result<Vec<(PackId, u64)>> {
        let sql = "SELECT pack, bytes FROM pack_uses WHERE layer = ?1 ORDER BY pack";
        self.rows(sql, [diff_id.to_string()], |row| Ok((pack_id(row, 0)?, row.size(1)?)))
    }

    pub(crate) fn layers_of_pack(&self, id: &PackId) -> Result<Vec<DiffId>> {
        let sql = "SELECT layer FROM pack_uses WHERE pack = ?1 ORDER BY layer";
        self.rows(sql, [id.to_string()], |row| Ok(DiffId(digest(row, 0)?)))
    }

    pub(crate) fn pack_is_held(&self, id: &PackId, now: i64) -> Result<bool> {
        self.exists(
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM pack_uses WHERE pack = ?1)
             OR EXISTS (SELECT 1 FROM lease_items i JOIN leases l ON l.id = i.lease
                        WHERE i.kind = 'pack' AND i.item = ?1 AND l.expires > ?2)",
            params![id.to_string(), now],
        )
    }

    pub(crate) fn view(&self, chain: &ChainId) -> Result<Option<Location>> {
        let sql = "SELECT location FROM views WHERE chain = ?1";
        self.row(sql, [chain.to_string()], |row| row.get(0).map(Location))
    }

    pub(crate) fn views(&self) -> Result<Vec<(ChainId, Location)>> {
        let sql = "SELECT chain, location FROM views ORDER BY chain";
        self.rows(sql, [], |row| Ok((ChainId(digest(row, 0)?), Location(row.get(1)?))))
    }

    pub(crate) fn insert_layer(&self, row: &LayerRow, packs: &[(PackId, u64)]) -> Result<bool> {
        let inserted = self.execute(
            "INSERT INTO layers (diff_id, index_location, tar_size, content_size, entries, shared_size, damaged)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                row.diff_id.to_string(),
                row.index.0,
                integer(row.tar_size),
                integer(row.content_size),
                integer(row.entries),
                integer(row.shared_size),
                i64::from(row.damaged),
            ],
        )?;
        if inserted == 1 {
            self.put_pack_uses(&row.diff_id, packs)?;
        }
        Ok(inserted == 1)
    }

    pub(crate) fn heal_layer(&self, row: &LayerRow, packs: &[(PackId, u64)]) -> Result<()> {
        let diff_id = row.diff_id.to_string();
        let healed = self.execute(
            "UPDATE layers SET index_location = ?2, tar_size = ?3, content_size = ?4, entries = ?5, shared_size = ?6,
             damaged = 0 WHERE diff_id = ?1",
            params![
                diff_id,
                row.index.0,
                integer(row.tar_size),
                integer(row.content_size),
                integer(row.entries),
                integer(row.shared_size),
            ],
        )?;
        if healed == 1 {
            self.execute("DELETE FROM pack_uses WHERE layer = ?1", [&diff_id])?;
            self.put_pack_uses(&row.diff_id, packs)?;
        }
        Ok(())
    }

    fn put_pack_uses(&self, diff_id: &DiffId, packs: &[(PackId, u64)]) -> Result<()> {
        for (pack, bytes) in packs {
            self.execute(
                "INSERT INTO pack_uses (layer, pack, bytes) VALUES (?1, ?2, ?3)",
                params![diff_id.to_string(), pack.to_string(), integer(*bytes)],
            )?;
        }
        Ok(())
    }

    pub(crate) fn mark_layer_damaged(&self, diff_id: &DiffId) -> Result<()> {
        self.execute("UPDATE layers SET damaged = 1 WHERE diff_id = ?1", [diff_id.to_string()]).map(drop)
    }

    pub(crate) fn link_layer_blob(&self, blob: &Digest, diff_id: &DiffId) -> Result<()> {
        self.execute(
            "INSERT INTO layer_blobs (blob, layer) VALUES (?1, ?2)
             ON CONFLICT (blob) DO UPDATE SET layer = excluded.layer",
            params![blob.to_string(), diff_id.to_string()],
        )
        .map(drop)
    }

    pub(crate) fn delete_layer(&self, diff_id: &DiffId) -> Result<()> {
        self.execute("DELETE FROM layers WHERE diff_id = ?1", [diff_id.to_string()]).map(drop)
    }

    pub(crate) fn insert_pack(&self, row: &PackRow) -> Result<()> {
        self.execute(
            "INSERT INTO packs (id, location, length, damaged, published)
             VALUES (?1, ?2, ?3, ?4, (SELECT COALESCE(MAX(published), 0) + 1 FROM packs)) ON CONFLICT (id) DO NOTHING",
            params![row.id.to_string(), row.location.0, integer(row.length), i64::from(row.damaged)],
        )
        .map(drop)
    }

    pub(crate) fn replace_pack(&self, row: &PackRow) -> Result<()> {
        self.execute(
            "UPDATE packs SET location = ?2, length = ?3, damaged = 0 WHERE id = ?1",
            params![row.id.to_string(), row.location.0, integer(row.length)],
        )
        .map(drop)
    }

    pub(crate) fn mark_pack_damaged(&self, id: &PackId) -> Result<()> {
        self.execute("UPDATE packs SET damaged = 1 WHERE id = ?1", [id.to_string()]).map(drop)
    }

    pub(crate) fn delete_pack(&self, id: &PackId) -> Result<()> {
        self.execute("DELETE FROM packs WHERE id = ?1", [id.to_string()]).map(drop)
    }

    pub(crate) fn put_view(&self, chain: &ChainId, location: &Location) -> Result<Option<Location>> {
        let former = self.view(chain)?;
        self.execute(
            "INSERT INTO views (chain, location) VALUES (?1, ?2)
             ON CONFLICT (chain) DO UPDATE SET location = excluded.location",
            params![chain.to_string(), location.0],
        )?;
        Ok(former.filter(|former| former != location))
    }

    pub(crate) fn delete_view(&self, chain: &ChainId) -> Result<Option<Location>> {
        let former = self.view(chain)?;
        self.execute("DELETE FROM views WHERE chain = ?1", [chain.to_string()])?;
        Ok(former)
    }
}
