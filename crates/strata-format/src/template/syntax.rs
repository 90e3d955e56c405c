//! The syntax tree of a template. Its text forms appear in execution errors: `executing "" at <.Config.Foo>`.

use std::fmt;

use crate::go_quote::quote;

/// One piece of a template body. Positions are byte offsets in the source.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action { position: usize, pipeline: Pipeline },
    If(Branch),
    Range(Branch),
    With(Branch),
    Template { position: usize, name: String, pipeline: Option<Pipeline> },
    Break,
    Continue,
}

/// The common shape of if, range and with.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Option<Vec<Node>>,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) position: usize,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    /// Variable names with their `$`.
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// An operand followed by its arguments; never empty.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) position: usize,
    pub(super) operands: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub(super) position: usize,
    pub(super) kind: OperandKind,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    Bool(bool),
    Number(Number),
    String {
        literal: String,
        text: String,
    },
    Nil,
    Dot,
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`
    Variable {
        name: String,
        fields: Vec<String>,
    },
    /// `(pipeline).A.B` or `function.A.B`
    Chain {
        start: Box<Operand>,
        fields: Vec<String>,
    },
    Identifier(String),
    Pipeline(Pipeline),
}

/// A number constant, which may serve as an integer, a float or both.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) literal: String,
    pub(super) integer: Option<i128>,
    pub(super) float: f64,
}

impl Number {
    /// Whether the literal is written as a floating point number.
    pub(super) fn looks_like_float(&self) -> bool {
        let is_hexadecimal = self.literal.starts_with("0x") || self.literal.starts_with("0X");
        let marks: &[char] = if is_hexadecimal { &['p', 'P'] } else { &['.', 'e', 'E', 'p', 'P'] };
        !self.literal.starts_with('\'') && self.literal.contains(marks)
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, operand) in self.operands.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            operand.write_nested(f)?;
        }
        Ok(())
    }
}

impl Operand {
    /// The operand as part of something larger: pipelines get their parentheses.
    fn write_nested(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Pipeline(pipeline) => write!(f, "({pipeline})"),
            _ => write!(f, "{self}"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number(number) => f.write_str(&number.literal),
            OperandKind::String { literal, .. } => f.write_str(literal),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Dot => f.write_str("."),
            OperandKind::Field(fields) => write_fields(f, fields),
            OperandKind::Variable { name, fields } => {
                f.write_str(name)?;
                write_fields(f, fields)
            }
            OperandKind::Chain { start, fields } => {
                start.write_nested(f)?;
                write_fields(f, fields)
            }
            OperandKind::Identifier(name) => f.write_str(name),
            OperandKind::Pipeline(pipeline) => write!(f, "{pipeline}"),
        }
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}

/// The text form of `{{template "name" pipeline}}`.
pub(super) fn describe_template(name: &str, pipeline: Option<&Pipeline>) -> String {
    match pipeline {
        Some(pipeline) => format!("{{{{template {} {pipeline}}}}}", quote(name)),
        None => format!("{{{{template {}}}}}", quote(name)),
    }
}
