//! Pages on which people change things: sections of forms, tables and facts, all made of the same few parts.
//!
//! A form posts to an address of its own. What a rule refuses is shown on the same page again: with what was typed (never
//! passwords), and with what is wrong beside the field that the rule names.

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use strata_hub::HubError;
use strata_model::ErrorKind;

use crate::failure::{Failure, Result, status_of};
use crate::qr::Qr;
use crate::site::{Frame, Values, Visit, page};
use crate::views::{Choice, Moment, Step};

/// How a field looks.
pub(crate) enum Kind {
    /// `text`, `email`, `url`, `number`, `date`, `search`: one line.
    Line(&'static str),
    /// One line that nobody may read.
    Password,
    /// Several lines.
    Area,
    /// One of some.
    One(Vec<Choice>),
    /// Any of some.
    Any(Vec<Choice>),
    /// Yes or no: `yes` when it is checked.
    Check,
    /// Not shown.
    Hidden,
}

/// A field of a form.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) value: String,
    pub(crate) hint: String,
    pub(crate) problem: Option<String>,
    pub(crate) is_required: bool,
    pub(crate) autocomplete: &'static str,
    pub(crate) longest: usize,
}

impl Field {
    fn new(name: &'static str, label: &str, kind: Kind) -> Field {
        Field {
            name,
            label: label.to_owned(),
            kind,
            value: String::new(),
            hint: String::new(),
            problem: None,
            is_required: false,
            autocomplete: "off",
            longest: 1024,
        }
    }

    pub(crate) fn line(name: &'static str, label: &str, value: &str) -> Field {
        Field::new(name, label, Kind::Line("text")).filled(value)
    }

    /// A line of one of HTML's types.
    pub(crate) fn of_type(kind: &'static str, name: &'static str, label: &str, value: &str) -> Field {
        Field::new(name, label, Kind::Line(kind)).filled(value)
    }

    /// `autocomplete`: `current-password` or `new-password`.
    pub(crate) fn password(name: &'static str, label: &str, autocomplete: &'static str) -> Field {
        Field { autocomplete, is_required: true, ..Field::new(name, label, Kind::Password) }
    }

    pub(crate) fn area(name: &'static str, label: &str, value: &str) -> Field {
        Field { longest: 200_000, ..Field::new(name, label, Kind::Area).filled(value) }
    }

    pub(crate) fn check(name: &'static str, label: &str, is_checked: bool) -> Field {
        Field::new(name, label, Kind::Check).filled(if is_checked { "yes" } else { "" })
    }

    pub(crate) fn hidden(name: &'static str, value: &str) -> Field {
        Field::new(name, "", Kind::Hidden).filled(value)
    }

    /// `choices`: value and label.
    pub(crate) fn one(name: &'static str, label: &str, choices: &[(&str, &str)], chosen: &str) -> Field {
        Field::new(name, label, Kind::One(Choice::list(choices, &[chosen])))
    }

    pub(crate) fn any(name: &'static str, label: &str, choices: &[(&str, &str)], chosen: &[&str]) -> Field {
        Field::new(name, label, Kind::Any(Choice::list(choices, chosen)))
    }

    fn filled(self, value: &str) -> Field {
        Field { value: value.to_owned(), ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Field {
        Field { hint: hint.into(), ..self }
    }

    pub(crate) fn required(self) -> Field {
        Field { is_required: true, ..self }
    }

    pub(crate) fn autocomplete(self, autocomplete: &'static str) -> Field {
        Field { autocomplete, ..self }
    }

    fn type_again(&mut self, values: &Values) {
        match &mut self.kind {
            Kind::Password | Kind::Hidden => {}
            Kind::Line(_) | Kind::Area | Kind::Check => self.value = values.first(self.name).to_owned(),
            Kind::One(choices) | Kind::Any(choices) => {
                for choice in choices {
                    choice.is_chosen = values.all(self.name).any(|value| value == choice.value);
                }
            }
        }
    }
}

/// What ends a form.
pub(crate) struct Button {
    pub(crate) label: String,
    /// What the field `do` says when it was this button.
    pub(crate) value: &'static str,
    pub(crate) class: &'static str,
}

/// A form.
pub(crate) struct Form {
    pub(crate) action: String,
    /// Whether it only asks: its fields then go into the address.
    pub(crate) is_question: bool,
    /// Whether it stands in one line of a table or above one.
    pub(crate) is_inline: bool,
    /// What tells its fields from others' on the page.
    pub(crate) id: String,
    pub(crate) fields: Vec<Field>,
    pub(crate) buttons: Vec<Button>,
    pub(crate) problem: Option<String>,
}

impl Form {
    /// A form that posts to `action`.
    pub(crate) fn post(action: impl Into<String>, button: &str) -> Form {
        let action = action.into();
        Form {
            id: action.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-").trim_matches('-').to_owned(),
            action,
            is_question: false,
            is_inline: false,
            fields: Vec::new(),
            buttons: vec![Button { label: button.to_owned(), value: "", class: "primary" }],
            problem: None,
        }
    }

    /// A form in a line, that asks for a page.
    pub(crate) fn question(action: impl Into<String>, button: &str) -> Form {
        Form { is_question: true, ..Form::post(action, button).inline() }
    }

    pub(crate) fn inline(mut self) -> Form {
        self.is_inline = true;
        self.buttons.iter_mut().filter(|button| button.class == "primary").for_each(|button| button.class = "");
        self
    }

    pub(crate) fn dangerous(mut self) -> Form {
        self.buttons.iter_mut().for_each(|button| button.class = "danger");
        self
    }

    pub(crate) fn with(mut self, field: Field) -> Form {
        self.fields.push(field);
        self
    }

    /// One more button, which sets the field `do`.
    pub(crate) fn or(mut self, value: &'static str, label: &str) -> Form {
        self.buttons.push(Button { label: label.to_owned(), value, class: "" });
        self
    }

    /// What was typed, and what a rule says of it.
    fn refuse(&mut self, refused: &Refused) {
        self.type_again(&refused.values);
        let (what, why) = match &refused.error {
            HubError::Invalid { what, why } => (*what, why.clone()),
            error => ("", error.to_string()),
        };
        match self.fields.iter_mut().find(|field| field.name == what && !matches!(field.kind, Kind::Hidden)) {
            Some(field) => field.problem = Some(why),
            None => self.problem = Some(refused.error.to_string()),
        }
    }

    pub(crate) fn type_again(&mut self, values: &Values) {
        self.fields.iter_mut().for_each(|field| field.type_again(values));
    }
}

/// A place in a table.
pub(crate) enum Cell {
    Text(String),
    Quiet(String),
    Number(String),
    Code(String),
    Link(Step),
    When(Moment),
    Forms(Vec<Form>),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    pub(crate) fn link(label: impl Into<String>, address: impl Into<String>) -> Cell {
        Cell::Link(Step { label: label.into(), address: address.into(), is_current: false })
    }

    /// `otherwise` when it never was.
    pub(crate) fn when(time: Option<i64>, now: i64, otherwise: &str) -> Cell {
        match time {
            Some(time) => Cell::When(Moment::of(time, now)),
            None => Cell::Quiet(otherwise.to_owned()),
        }
    }
}

/// A table.
pub(crate) struct Table {
    pub(crate) heads: &'static [&'static str],
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What is read when there are no rows.
    pub(crate) empty: String,
}

impl Table {
    /// Whether a column holds numbers. Templates pass references.
    pub(crate) fn is_of_numbers(&self, column: &usize) -> bool {
        self.rows.first().is_some_and(|row| matches!(row.get(*column), Some(Cell::Number(_))))
    }
}

/// What sections are made of.
pub(crate) enum Part {
    Text(String),
    /// A warning.
    Warning(String),
    Form(Form),
    Table(Table),
    Facts(Vec<(&'static str, Cell)>),
    /// Where to go on.
    Steps(Vec<Step>),
    /// A line to be copied, under an ID.
    Copy(&'static str, String),
    /// A QR code, and what it holds.
    Qr(Qr, &'static str),
    /// Markdown that was rendered, and so is harmless.
    Prose(String),
    /// Pages before and after.
    Paging(Option<String>, Option<String>),
}

/// A part of a page with a heading.
pub(crate) struct Section {
    pub(crate) heading: String,
    pub(crate) parts: Vec<Part>,
}

impl Section {
    pub(crate) fn new(heading: impl Into<String>, parts: Vec<Part>) -> Section {
        Section { heading: heading.into(), parts }
    }
}

/// A form that a rule refused.
pub(crate) struct Refused {
    pub(crate) values: Values,
    pub(crate) error: HubError,
}

#[derive(Template)]
#[template(path = "sections.html")]
struct SectionsPage {
    frame: Frame,
    heading: String,
    tabs: Vec<Step>,
    sections: Vec<Section>,
}

/// A page of sections; after a form was refused, the same page with what was typed.
pub(crate) fn sections(
    visit: &Visit,
    heading: impl Into<String>,
    tabs: Vec<Step>,
    mut sections: Vec<Section>,
    refused: Option<Refused>,
) -> Result {
    let status = refill(visit, &mut sections, refused)?;
    let shown = page(SectionsPage { frame: visit.frame(""), heading: heading.into(), tabs, sections });
    Ok(with_status(status, shown))
}

pub(crate) fn with_status(status: StatusCode, response: Response) -> Response {
    (status, response).into_response()
}

/// Puts what was typed back into the form that was refused, and tells the status of the answer.
pub(crate) fn refill(visit: &Visit, sections: &mut [Section], refused: Option<Refused>) -> Result<StatusCode> {
    let Some(refused) = refused else { return Ok(StatusCode::OK) };
    let is_told = matches!(
        refused.error.kind(),
        ErrorKind::Invalid
            | ErrorKind::Conflict
            | ErrorKind::AlreadyExists
            | ErrorKind::NotFound
            | ErrorKind::Denied
            | ErrorKind::Unauthenticated
            | ErrorKind::RateLimited
    );
    match forms(sections).find(|form| form.action == visit.uri.path() && !form.is_question).filter(|_| is_told) {
        Some(form) => {
            form.refuse(&refused);
            Ok(status_of(&refused.error))
        }
        None => Err(Failure::of(visit, refused.error)),
    }
}

/// Every form of a page.
pub(crate) fn forms(sections: &mut [Section]) -> impl Iterator<Item = &mut Form> {
    sections.iter_mut().flat_map(|section| &mut section.parts).flat_map(|part| match part {
        Part::Form(form) => vec![form],
        Part::Table(table) => {
            let cells = table.rows.iter_mut().flatten();
            cells.flat_map(|cell| if let Cell::Forms(forms) = cell { forms.as_mut_slice() } else { &mut [] }).collect()
        }
        _ => Vec::new(),
    })
}

/// Tabs of pages that belong together; `current` is the address of this one.
pub(crate) fn tabs(steps: &[(&str, String)], current: &str) -> Vec<Step> {
    let step = |(label, address): &(&str, String)| Step {
        label: (*label).to_owned(),
        address: address.clone(),
        is_current: address == current,
    };
    steps.iter().map(step).collect()
}

/// A failure of the page's own checks of what was typed.
pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> HubError {
    HubError::Invalid { what, why: why.into() }
}
