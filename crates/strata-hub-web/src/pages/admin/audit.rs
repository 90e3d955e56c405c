//! The audit log of the whole hub.

use super::Desk;
use crate::failure::Result;
use crate::forms::Section;
use crate::pages::audit::parts;
use crate::site::Visit;

const PATH: &str = "/admin/audit";

/// `GET /admin/audit?account=&actor=&action=&name=&page=`.
pub(crate) async fn audit(visit: Visit) -> Result {
    let desk = Desk::of(&visit)?;
    let parts = parts(&visit, desk.who, PATH, None).await?;
    desk.show("Audit log", PATH, vec![Section::new("", parts)], None)
}
