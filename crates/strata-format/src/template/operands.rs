//! Parsing commands: operands, their fields, and number constants.

use super::{
    functions,
    lexer::{Kind, Token},
    parser::{Parsed, Parser},
    syntax::{Command, Number, Operand, OperandKind},
};
use crate::go_quote::{quote, unquote_character_literal};

impl Parser<'_> {
    /// Operands up to a `|`, which is consumed, or the end of the pipeline, which is not.
    pub(super) fn command(&mut self) -> Parsed<Command> {
        let position = self.peek_not_space().position;
        let mut operands = Vec::new();
        loop {
            self.peek_not_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParenthesis => {
                    self.push_back(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if operands.is_empty() { self.fail("empty command") } else { Ok(Command { position, operands }) }
    }

    /// A term and the fields taken from it.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let position = self.peek().position;
        let mut added = Vec::new();
        while self.peek().kind == Kind::Field {
            added.push(self.next().text[1..].to_owned());
        }
        match &mut operand.kind {
            OperandKind::Field(fields) | OperandKind::Variable { fields, .. } => {
                fields.append(&mut added);
                // Errors point to the second field, as Go's do.
                operand.position = position;
            }
            OperandKind::Bool(_)
            | OperandKind::String { .. }
            | OperandKind::Number(_)
            | OperandKind::Nil
            | OperandKind::Dot => {
                return self.fail(format!("unexpected . after term {}", quote(&operand.to_string())));
            }
            _ => operand = Operand { position, kind: OperandKind::Chain { start: Box::new(operand), fields: added } },
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_not_space();
        let kind = match token.kind {
            Kind::Identifier => {
                if !functions::is_defined(&token.text) {
                    return self.fail(format!("function {} not defined", quote(&token.text)));
                }
                OperandKind::Identifier(token.text.into_owned())
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.variables.iter().any(|name| *name == token.text) {
                    return self.fail(format!("undefined variable {}", quote(&token.text)));
                }
                OperandKind::Variable { name: token.text.into_owned(), fields: Vec::new() }
            }
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::CharacterConstant | Kind::Complex | Kind::Number => OperandKind::Number(self.number(&token)?),
            Kind::LeftParenthesis => {
                self.enter()?;
                let pipeline = self.pipeline("parenthesized pipeline", Kind::RightParenthesis)?;
                self.leave();
                // Go takes the position of what is inside the parentheses.
                return Ok(Some(Operand { position: pipeline.position, kind: OperandKind::Pipeline(pipeline) }));
            }
            Kind::String | Kind::RawString => {
                OperandKind::String { text: self.unquoted(&token.text)?, literal: token.text.into_owned() }
            }
            _ => {
                self.push_back(token);
                return Ok(None);
            }
        };
        Ok(Some(Operand { position: token.position, kind }))
    }

    fn number(&self, token: &Token<'_>) -> Parsed<Number> {
        let literal = token.text.clone().into_owned();
        if token.kind == Kind::CharacterConstant {
            return match unquote_character_literal(&literal) {
                Some(code) => Ok(Number { literal, integer: Some(code.into()), float: code as f64 }),
                None => self.fail(format!("malformed character constant: {literal}")),
            };
        }
        if let Some(integer) = parse_integer(&literal) {
            return Ok(Number { literal, integer: Some(integer), float: integer as f64 });
        }
        let float = literal.replace('_', "").parse::<f64>().ok().filter(|float| float.is_finite());
        match float {
            Some(_) if !literal.contains(['.', 'e', 'E']) => {
                self.fail(format!("integer overflow: {}", quote(&literal)))
            }
            Some(float) => {
                let is_whole = float.fract() == 0.0 && float.abs() < 9.2e18;
                Ok(Number { literal, integer: is_whole.then_some(float as i128), float })
            }
            None => self.fail(format!("illegal number syntax: {}", quote(&literal))),
        }
    }
}

/// An integer in Go's notation with its prefixes and underscores, if it fits into 64 bits, signed or not.
fn parse_integer(literal: &str) -> Option<i128> {
    let (sign, digits) = match literal.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, literal.strip_prefix('+').unwrap_or(literal)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.starts_with('0') && lower.len() > 1 => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.ends_with('_') || digits.contains("__") || (radix == 10 && digits.starts_with('_')) {
        return None;
    }
    let value = sign * i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}
