//! Webhooks: who is told what happens to a repository, and how that went.

use strata_hub::records::{DeliveryRow, WebhookRow};
use strata_hub::{CreatedWebhook, HubError, NewWebhook, WebhookEvent};

use super::{Cell, Desk, Done};
use crate::failure::Result;
use crate::forms::{Field, Form, Part, Section, Table};
use crate::site::Values;

/// Deliveries that are shown.
const DELIVERIES: usize = 50;
const EVENTS: [(&str, &str); 3] =
    [("push", "A manifest was pushed"), ("tag", "A tag was set"), ("delete", "A tag, a manifest or all was deleted")];

/// What is shown once of a webhook that was just made.
pub(super) fn made(made: CreatedWebhook) -> Section {
    let parts = vec![
        Part::Warning("Copy its secret now: it is shown this once.".into()),
        Part::Copy("secret", made.secret),
        Part::Text(
            "Each delivery has X-Strata-Signature: sha256=…, the HMAC-SHA-256 of its body under the secret.".into(),
        ),
    ];
    Section::new(format!("Webhook “{}” is made", made.webhook.name), parts)
}

impl Desk<'_> {
    pub(super) async fn webhooks(&self) -> Result<Vec<Section>> {
        let rows = self.visit.hub.webhooks(&self.name).await.map_err(|error| self.failed(error))?;
        let table = Table {
            heads: &["Name", "Address", "Told of", "State"],
            rows: rows.into_iter().map(|row| self.webhook_row(row)).collect(),
            empty: "Nobody is told yet.".into(),
        };
        let form = Form::post(self.path("webhooks"), "Add webhook")
            .with(Field::line("name", "Name", "").required())
            .with(Field::of_type("url", "url", "Address", "").required().hint("https://… that takes a POST of JSON."))
            .with(Field::any("events", "Told of (all when none is chosen)", &EVENTS, &[]));
        Ok(vec![
            Section::new("Webhooks", vec![Part::Table(table)]),
            Section::new("Add a webhook", vec![Part::Form(form)]),
        ])
    }

    fn webhook_row(&self, row: WebhookRow) -> Vec<Cell> {
        vec![
            Cell::link(row.name, self.path(&format!("webhooks/{}", row.id))),
            Cell::Code(row.url),
            Cell::Text(row.events.replace(',', ", ")),
            Cell::text(if row.is_active { "on" } else { "off" }),
        ]
    }

    pub(super) async fn webhook(&self, id: &str) -> Result<Vec<Section>> {
        let hub = &self.visit.hub;
        let failed = |error| self.failed(error);
        let row = hub.webhook(&self.name, id).await.map_err(failed)?;
        let deliveries = hub.deliveries(&self.name, id, DELIVERIES).await.map_err(failed)?;
        let path = |action: &str| self.path(&format!("webhooks/{}/{action}", row.id));
        let (label, active) = if row.is_active { ("Switch off", "no") } else { ("Switch on", "yes") };
        let facts = Part::Facts(vec![
            ("Address", Cell::Code(row.url.clone())),
            ("Told of", Cell::Text(row.events.replace(',', ", "))),
            ("State", Cell::text(if row.is_active { "on" } else { "off" })),
            ("Made by", Cell::text(&row.creator)),
            ("Made", Cell::when(Some(row.created), self.visit.now, "")),
        ]);
        let actions = Part::Facts(vec![(
            "Do",
            Cell::Forms(vec![
                Form::post(path("switch"), label).inline().with(Field::hidden("active", active)),
                Form::post(path("delete"), "Remove webhook").inline().dangerous(),
            ]),
        )]);
        let table = Table {
            heads: &["Event", "When", "State", "Answer", "Attempts", ""],
            rows: deliveries.into_iter().map(|delivery| self.delivery_row(delivery, &path("resend"))).collect(),
            empty: "Nothing was sent yet.".into(),
        };
        Ok(vec![
            Section::new(format!("Webhook {}", row.name), vec![facts, actions]),
            Section::new("Last deliveries", vec![Part::Table(table)]),
        ])
    }

    fn delivery_row(&self, row: DeliveryRow, resend: &str) -> Vec<Cell> {
        let state = match (row.due, row.error.is_empty()) {
            (Some(_), _) => "waiting",
            (None, true) => "delivered",
            (None, false) => "failed",
        };
        let answer = match (row.status, row.error) {
            (Some(status), error) if error.is_empty() => status.to_string(),
            (_, error) => error,
        };
        let again = Form::post(resend, "Send again").inline().with(Field::hidden("delivery", &row.id.to_string()));
        vec![
            Cell::Text(row.event),
            Cell::when(row.attempted.or(Some(row.created)), self.visit.now, ""),
            Cell::text(state),
            Cell::Text(answer),
            Cell::Number(row.attempts.to_string()),
            Cell::Forms(if row.due.is_none() { vec![again] } else { Vec::new() }),
        ]
    }

    pub(super) async fn create_webhook(&self, values: &Values) -> strata_hub::Result<Done> {
        let is_wanted = |event: &WebhookEvent| values.all("events").any(|word| word == event.as_str());
        let new = NewWebhook {
            name: values.first("name").trim().to_owned(),
            url: values.first("url").trim().to_owned(),
            secret: None,
            events: WebhookEvent::ALL.into_iter().filter(is_wanted).collect(),
        };
        self.visit.hub.create_webhook_as(self.who, &self.name, new).await.map(Done::MadeWebhook)
    }

    /// `webhooks/{id}/switch`, `…/delete`, `…/resend`.
    pub(super) async fn change_webhook(&self, action: &str, values: &Values) -> strata_hub::Result<Done> {
        let not_found = || HubError::NotFound("page".into());
        let (id, action) =
            action.strip_prefix("webhooks/").and_then(|rest| rest.split_once('/')).ok_or_else(not_found)?;
        let hub = &self.visit.hub;
        let (page, text) = match action {
            "switch" => {
                hub.switch_webhook_as(self.who, &self.name, id, values.first("active") == "yes").await?;
                (format!("webhooks/{id}"), "The webhook is switched.")
            }
            "delete" => {
                hub.delete_webhook_as(self.who, &self.name, id).await?;
                ("webhooks".to_owned(), "The webhook is removed.")
            }
            "resend" => {
                let delivery = values.first("delivery").parse().map_err(|_| not_found())?;
                hub.redeliver_as(self.who, &self.name, id, delivery).await?;
                (format!("webhooks/{id}"), "It is sent again.")
            }
            _ => return Err(not_found()),
        };
        Ok(Done::Told(self.path(&page), text.into()))
    }
}
