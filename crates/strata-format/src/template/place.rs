//! Where in a template an execution error is reported, and how that place is written.

use std::fmt;

use super::syntax::{Operand, OperandKind, Pipeline, describe_template};

/// The syntax element that errors are reported at.
#[derive(Clone, Copy)]
pub(super) enum Place<'t> {
    Start,
    Action(usize, &'t Pipeline),
    Template(usize, &'t str, Option<&'t Pipeline>),
    Pipeline(&'t Pipeline),
    Operand(&'t Operand),
    /// A whole command, by the position of its first operand.
    Command(usize, &'t [Operand]),
}

impl Place<'_> {
    pub(super) fn position(&self) -> usize {
        match self {
            Place::Start => 0,
            Place::Action(position, _) | Place::Template(position, ..) | Place::Command(position, _) => *position,
            Place::Pipeline(pipeline) => pipeline.position,
            Place::Operand(operand) => operand.position,
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Start => Ok(()),
            Place::Action(_, pipeline) => write!(f, "{{{{{pipeline}}}}}"),
            Place::Template(_, name, pipeline) => f.write_str(&describe_template(name, *pipeline)),
            Place::Pipeline(pipeline) => write!(f, "{pipeline}"),
            Place::Operand(operand) => write!(f, "{operand}"),
            Place::Command(_, operands) => {
                let texts: Vec<String> = operands
                    .iter()
                    .map(|operand| match operand.kind {
                        OperandKind::Pipeline(_) => format!("({operand})"),
                        _ => operand.to_string(),
                    })
                    .collect();
                f.write_str(&texts.join(" "))
            }
        }
    }
}
