//! QR codes (ISO/IEC 18004) as paths of SVG: black on white in both colour schemes, as cameras want them.

use qrcode::{Color, QrCode};

/// Free modules around a code.
const QUIET: usize = 4;

/// A code to be drawn.
pub(crate) struct Qr {
    /// Modules on each side, with the quiet zone.
    pub(crate) size: usize,
    /// Every dark module, in the units of [`Qr::size`].
    pub(crate) path: String,
}

impl Qr {
    /// The code of a text; `None` when it is too long for one.
    pub(crate) fn of(text: &str) -> Option<Qr> {
        let code = QrCode::new(text).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(width).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, other| one == other) {
                if run[0] == Color::Dark {
                    path.push_str(&format!("M{} {}h{}v1h-{}z", x + QUIET, y + QUIET, run.len(), run.len()));
                }
                x += run.len();
            }
        }
        Some(Qr { size: width + 2 * QUIET, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the path as a browser does, four pixels for each module.
    fn drawn(code: &Qr) -> Vec<bool> {
        let mut dark = vec![false; code.size * code.size];
        for run in code.path.split('M').skip(1) {
            let (x, rest) = run.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let length = rest.split_once('v').unwrap().0;
            let [x, y, length] = [x, y, length].map(|number| number.parse::<usize>().unwrap());
            dark[y * code.size + x..][..length].fill(true);
        }
        dark
    }

    #[test]
    fn a_code_is_read_back() {
        const SCALE: usize = 4;
        let text = "otpauth://totp/Strata:ann?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Strata";
        let code = Qr::of(text).unwrap();
        let dark = drawn(&code);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(code.size * SCALE, code.size * SCALE, |x, y| {
            if dark[y / SCALE * code.size + x / SCALE] { 0 } else { 255 }
        });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        assert_eq!(grids[0].decode().unwrap().1, text);
        assert!(Qr::of(&"x".repeat(5000)).is_none());
    }
}
