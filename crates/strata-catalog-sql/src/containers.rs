//! Queries on containers, volumes and networks.

use async_trait::async_trait;
use rusqlite::{Params, params};
use strata_model::ImageId;
use strata_store::{
    ContainerPhase, ContainerReadTxn, ContainerRow, ContainerWriteTxn, EndpointRow, NetworkRow, Result, VolumeRow,
};

use crate::dialect::sqlite::{Row, Session};
use crate::objects::digest;
use crate::transaction::Transaction;

const CONTAINER: &str = "SELECT id, name, image, manifest, created, phase, document FROM containers";
const ENDPOINT: &str = "SELECT network, container, address, document FROM endpoints";

fn container(row: &Row<'_>) -> Result<ContainerRow> {
    Ok(ContainerRow {
        id: row.get(0)?,
        name: row.get(1)?,
        image: ImageId(digest(row, 2)?),
        manifest: digest(row, 3)?,
        created: row.get(4)?,
        phase: row.parsed(5, parse_phase)?,
        document: row.get(6)?,
        volumes: Vec::new(),
    })
}

fn phase(phase: ContainerPhase) -> &'static str {
    match phase {
        ContainerPhase::Ready => "ready",
        ContainerPhase::Removing => "removing",
    }
}

fn parse_phase(text: &str) -> Option<ContainerPhase> {
    [ContainerPhase::Ready, ContainerPhase::Removing].into_iter().find(|known| phase(*known) == text)
}

fn volume(row: &Row<'_>) -> Result<VolumeRow> {
    Ok(VolumeRow { name: row.get(0)?, created: row.get(1)?, is_anonymous: row.get(2)?, document: row.get(3)? })
}

fn endpoint(row: &Row<'_>) -> Result<EndpointRow> {
    Ok(EndpointRow { network: row.get(0)?, container: row.get(1)?, address: row.get(2)?, document: row.get(3)? })
}

impl Session {
    fn container_rows(&self, rest: &str, parameters: impl Params) -> Result<Vec<ContainerRow>> {
        let mut rows = self.rows(&format!("{CONTAINER} {rest}"), parameters, container)?;
        let volumes = "SELECT volume FROM container_volumes WHERE container = ?1 ORDER BY volume";
        for row in &mut rows {
            row.volumes = self.rows(volumes, [&row.id], |row| row.get(0))?;
        }
        Ok(rows)
    }

    fn insert_container(&self, row: &ContainerRow) -> Result<()> {
        self.execute(
            "INSERT INTO containers (id, name, image, manifest, created, phase, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                row.id,
                row.name,
                row.image.to_string(),
                row.manifest.to_string(),
                row.created,
                phase(row.phase),
                row.document
            ],
        )?;
        for volume in &row.volumes {
            let sql = "INSERT INTO container_volumes (container, volume) VALUES (?1, ?2)";
            self.execute(sql, [&row.id, volume])?;
        }
        Ok(())
    }
}

#[async_trait]
impl ContainerReadTxn for Transaction {
    async fn container(&self, id: &str) -> Result<Option<ContainerRow>> {
        Ok(self.session().container_rows("WHERE id = ?1", [id])?.pop())
    }

    async fn container_named(&self, name: &str) -> Result<Option<ContainerRow>> {
        Ok(self.session().container_rows("WHERE name = ?1", [name])?.pop())
    }

    async fn containers_by_prefix(&self, hex: &str, limit: usize) -> Result<Vec<ContainerRow>> {
        if !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Vec::new());
        }
        // `g` follows the last hexadecimal digit.
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.session()
            .container_rows("WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3", params![hex, format!("{hex}g"), limit])
    }

    async fn containers(&self) -> Result<Vec<ContainerRow>> {
        self.session().container_rows("ORDER BY created DESC, id", [])
    }

    async fn containers_of_image(&self, image: &ImageId) -> Result<Vec<ContainerRow>> {
        self.session().container_rows("WHERE image = ?1 ORDER BY created DESC, id", [image.to_string()])
    }

    async fn containers_of_volume(&self, volume: &str) -> Result<Vec<ContainerRow>> {
        let rest = "WHERE id IN (SELECT container FROM container_volumes WHERE volume = ?1) ORDER BY created DESC, id";
        self.session().container_rows(rest, [volume])
    }

    async fn volume(&self, name: &str) -> Result<Option<VolumeRow>> {
        let sql = "SELECT name, created, is_anonymous, document FROM volumes WHERE name = ?1";
        self.session().row(sql, [name], volume)
    }

    async fn volumes(&self) -> Result<Vec<VolumeRow>> {
        let sql = "SELECT name, created, is_anonymous, document FROM volumes ORDER BY name";
        self.session().rows(sql, [], volume)
    }

    async fn networks(&self) -> Result<Vec<NetworkRow>> {
        self.session().rows("SELECT id, name, created, document FROM networks ORDER BY name", [], |row| {
            Ok(NetworkRow { id: row.get(0)?, name: row.get(1)?, created: row.get(2)?, document: row.get(3)? })
        })
    }

    async fn endpoints_of_network(&self, network: &str) -> Result<Vec<EndpointRow>> {
        self.session().rows(&format!("{ENDPOINT} WHERE network = ?1 ORDER BY container"), [network], endpoint)
    }

    async fn endpoints_of_container(&self, container: &str) -> Result<Vec<EndpointRow>> {
        self.session().rows(&format!("{ENDPOINT} WHERE container = ?1 ORDER BY network"), [container], endpoint)
    }
}

#[async_trait]
impl ContainerWriteTxn for Transaction {
    async fn insert_container(&mut self, row: &ContainerRow) -> Result<()> {
        self.session().insert_container(row)
    }

    async fn update_container(&mut self, row: &ContainerRow) -> Result<()> {
        let sql = "UPDATE containers SET name = ?2, phase = ?3, document = ?4 WHERE id = ?1";
        self.session().execute(sql, params![row.id, row.name, phase(row.phase), row.document]).map(drop)
    }

    async fn delete_container(&mut self, id: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM containers WHERE id = ?1", [id])? == 1)
    }

    async fn insert_volume(&mut self, row: &VolumeRow) -> Result<bool> {
        let added = self.session().execute(
            "INSERT INTO volumes (name, created, is_anonymous, document) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![row.name, row.created, row.is_anonymous, row.document],
        )?;
        Ok(added == 1)
    }

    async fn delete_volume(&mut self, name: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM volumes WHERE name = ?1", [name])? == 1)
    }

    async fn insert_network(&mut self, row: &NetworkRow) -> Result<()> {
        let sql = "INSERT INTO networks (id, name, created, document) VALUES (?1, ?2, ?3, ?4)";
        self.session().execute(sql, params![row.id, row.name, row.created, row.document]).map(drop)
    }

    async fn update_network(&mut self, row: &NetworkRow) -> Result<()> {
        self.session()
            .execute("UPDATE networks SET document = ?2 WHERE id = ?1", params![row.id, row.document])
            .map(drop)
    }

    async fn delete_network(&mut self, id: &str) -> Result<bool> {
        Ok(self.session().execute("DELETE FROM networks WHERE id = ?1", [id])? == 1)
    }

    async fn put_endpoint(&mut self, row: &EndpointRow) -> Result<()> {
        self.session()
            .execute(
                "INSERT INTO endpoints (network, container, address, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (network, container) DO UPDATE SET address = excluded.address, document = excluded.document",
                params![row.network, row.container, row.address, row.document],
            )
            .map(drop)
    }

    async fn delete_endpoint(&mut self, network: &str, container: &str) -> Result<bool> {
        let sql = "DELETE FROM endpoints WHERE network = ?1 AND container = ?2";
        Ok(self.session().execute(sql, [network, container])? == 1)
    }
}
