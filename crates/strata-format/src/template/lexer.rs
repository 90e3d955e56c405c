//! Splitting the text of a template into tokens.

use std::borrow::Cow;

use crate::go_quote::{character_name, is_printable, quote};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    End,
    Text,
    LeftDelimiter,
    RightDelimiter,
    LeftParenthesis,
    RightParenthesis,
    Space,
    Assign,
    Declare,
    Pipe,
    /// Another printable ASCII character.
    Character,
    Bool,
    Number,
    Complex,
    CharacterConstant,
    String,
    RawString,
    Identifier,
    /// `.Name`
    Field,
    /// `$` or `$name`
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

#[derive(Clone, Debug)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    /// Byte offset in the source.
    pub(super) position: usize,
    pub(super) line: usize,
    /// The text of the token, or the message of an error.
    pub(super) text: Cow<'s, str>,
}

impl Token<'_> {
    /// The token as error messages show it.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => self.text.clone().into_owned(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                format!("{}...", quote(&start))
            }
            _ => quote(&self.text),
        }
    }
}

/// Yields one token after the other; after the end or an error only [`Kind::End`].
pub(super) struct Lexer<'s> {
    source: &'s str,
    position: usize,
    start: usize,
    inside_action: bool,
    open_parentheses: usize,
    failed: bool,
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, position: 0, start: 0, inside_action: false, open_parentheses: 0, failed: false }
    }

    pub(super) fn next_token(&mut self) -> Token<'s> {
        if self.failed {
            return self.token_of(Kind::End, self.source.len(), "");
        }
        let token = if self.inside_action { self.inside_action() } else { self.outside_action() };
        self.start = self.position;
        token.unwrap_or_else(|message| {
            self.failed = true;
            Token { text: message.text, ..self.token_of(Kind::Error, message.position, "") }
        })
    }

    fn rest(&self) -> &'s str {
        &self.source[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.position += next.len_utf8();
        Some(next)
    }

    fn accept(&mut self, set: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| set.contains(c));
        if accepted {
            self.next();
        }
        accepted
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn token_of(&self, kind: Kind, position: usize, text: &'s str) -> Token<'s> {
        let line = 1 + self.source[..position].matches('\n').count();
        Token { kind, position, line, text: text.into() }
    }

    /// The token from the last one up to here.
    fn emit(&self, kind: Kind) -> Scanned<'s> {
        Ok(self.token_of(kind, self.start, &self.source[self.start..self.position]))
    }

    fn fail(&self, message: impl Into<Cow<'s, str>>) -> Scanned<'s> {
        Err(Failure { position: self.start, text: message.into() })
    }

    /// Text up to the next action, comments skipped, or the left delimiter of the action.
    fn outside_action(&mut self) -> Scanned<'s> {
        loop {
            let rest = self.rest();
            let Some(length) = rest.find("{{") else {
                self.position = self.source.len();
                return self.emit(if rest.is_empty() { Kind::End } else { Kind::Text });
            };
            let text = &rest[..length];
            let text = if has_left_trim(&rest[length + 2..]) { text.trim_end_matches(SPACES) } else { text };
            if !text.is_empty() {
                self.position += length;
                return Ok(self.token_of(Kind::Text, self.start, text));
            }
            self.position += length;
            self.start = self.position;
            if let Some(delimiter) = self.left_delimiter()? {
                return Ok(delimiter);
            }
        }
    }

    /// The left delimiter that starts here, or nothing for a comment, which is skipped.
    fn left_delimiter(&mut self) -> Result<Option<Token<'s>>, Failure<'s>> {
        self.position += 2;
        let delimiter_end = self.position;
        if has_left_trim(self.rest()) {
            self.position += 2;
        }
        if !self.rest().starts_with("/*") {
            self.inside_action = true;
            self.open_parentheses = 0;
            return Ok(Some(self.token_of(Kind::LeftDelimiter, self.start, &self.source[self.start..delimiter_end])));
        }
        self.start = self.position;
        let Some(end) = self.rest()[2..].find("*/") else {
            return self.fail("unclosed comment").map(Some);
        };
        self.position += end + 4;
        match right_delimiter(self.rest()) {
            None => return self.fail("comment ends before closing delimiter").map(Some),
            Some(delimiter) => self.skip_right_delimiter(delimiter),
        }
        self.start = self.position;
        Ok(None)
    }

    /// Skips a right delimiter and the white space that its trim marker takes away.
    fn skip_right_delimiter(&mut self, delimiter: RightDelimiter) {
        self.position += delimiter.length();
        if delimiter == RightDelimiter::Trimming {
            let rest = self.rest();
            self.position += rest.len() - rest.trim_start_matches(SPACES).len();
        }
    }

    fn inside_action(&mut self) -> Scanned<'s> {
        if let Some(delimiter) = right_delimiter(self.rest()) {
            return self.right_delimiter(delimiter);
        }
        let Some(next) = self.next() else { return self.fail("unclosed action") };
        match next {
            _ if SPACES.contains(&next) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.accept("=") => self.emit(Kind::Declare),
            ':' => self.fail("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharacterConstant, "unterminated character constant"),
            '`' => match self.rest().find('`') {
                None => self.fail("unterminated raw quoted string"),
                Some(end) => {
                    self.position += end + 1;
                    self.emit(Kind::RawString)
                }
            },
            '$' => self.field_or_variable(Kind::Variable),
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => self.field_or_variable(Kind::Field),
            '.' | '+' | '-' | '0'..='9' => {
                self.position = self.start;
                self.number()
            }
            _ if is_alphanumeric(next) => self.identifier(),
            '(' => {
                self.open_parentheses += 1;
                self.emit(Kind::LeftParenthesis)
            }
            ')' => match self.open_parentheses.checked_sub(1) {
                None => self.fail("unexpected right paren"),
                Some(open) => {
                    self.open_parentheses = open;
                    self.emit(Kind::RightParenthesis)
                }
            },
            _ if next.is_ascii() && is_printable(next) => self.emit(Kind::Character),
            _ => self.fail(format!("unrecognized character in action: {}", character_name(next))),
        }
    }

    fn right_delimiter(&mut self, delimiter: RightDelimiter) -> Scanned<'s> {
        if self.open_parentheses > 0 {
            return self.fail("unclosed left paren");
        }
        let start = self.start + delimiter.length() - 2;
        self.skip_right_delimiter(delimiter);
        self.inside_action = false;
        Ok(self.token_of(Kind::RightDelimiter, start, "}}"))
    }

    /// A run of white space, without the space that belongs to a trimming right delimiter.
    fn space(&mut self) -> Scanned<'s> {
        let rest = &self.source[self.start..];
        let run = rest.len() - rest.trim_start_matches(SPACES).len();
        self.position = self.start + run;
        // All white space characters are one byte long.
        if right_delimiter(&self.source[self.position - 1..]) == Some(RightDelimiter::Trimming) {
            self.position -= 1;
            if run == 1 {
                return self.right_delimiter(RightDelimiter::Trimming);
            }
        }
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, mark: char, kind: Kind, unterminated: &'static str) -> Scanned<'s> {
        loop {
            let next = match self.next() {
                Some('\\') => self.next().map(|_| '\\').filter(|_| !self.source[..self.position].ends_with('\n')),
                next => next,
            };
            match next {
                None | Some('\n') => return self.fail(unterminated),
                Some(next) if next == mark => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn identifier(&mut self) -> Scanned<'s> {
        self.skip_alphanumeric()?;
        let kind = match &self.source[self.start..self.position] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            "block" => Kind::Keyword(Keyword::Block),
            "break" => Kind::Keyword(Keyword::Break),
            "continue" => Kind::Keyword(Keyword::Continue),
            "define" => Kind::Keyword(Keyword::Define),
            "else" => Kind::Keyword(Keyword::Else),
            "end" => Kind::Keyword(Keyword::End),
            "if" => Kind::Keyword(Keyword::If),
            "range" => Kind::Keyword(Keyword::Range),
            "template" => Kind::Keyword(Keyword::Template),
            "with" => Kind::Keyword(Keyword::With),
            _ => Kind::Identifier,
        };
        self.emit(kind)
    }

    /// A field after its `.` or a variable after its `$`; alone they are the dot and the root variable.
    fn field_or_variable(&mut self, kind: Kind) -> Scanned<'s> {
        if self.at_terminator() {
            return self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
        }
        self.skip_alphanumeric()?;
        self.emit(kind)
    }

    fn skip_alphanumeric(&mut self) -> Result<(), Failure<'s>> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        match self.peek() {
            Some(next) if !self.at_terminator() => {
                self.fail(format!("bad character {}", character_name(next))).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Whether an identifier may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with("}}"),
        }
    }

    /// A number, not yet checked in detail.
    fn number(&mut self) -> Scanned<'s> {
        let mut kind = Kind::Number;
        let mut good = self.scan_number();
        if good && matches!(self.peek(), Some('+' | '-')) {
            kind = Kind::Complex;
            good = self.scan_number() && self.source[..self.position].ends_with('i');
        }
        if good {
            return self.emit(kind);
        }
        self.fail(format!("bad number syntax: {}", quote(&self.source[self.start..self.position])))
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        let mut exponent = "eE";
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

type Scanned<'s> = Result<Token<'s>, Failure<'s>>;

struct Failure<'s> {
    position: usize,
    text: Cow<'s, str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RightDelimiter {
    Plain,
    /// ` -}}`
    Trimming,
}

impl RightDelimiter {
    fn length(self) -> usize {
        match self {
            Self::Plain => 2,
            Self::Trimming => 4,
        }
    }
}

fn right_delimiter(text: &str) -> Option<RightDelimiter> {
    if text.strip_prefix(SPACES).is_some_and(|rest| rest.starts_with("-}}")) {
        Some(RightDelimiter::Trimming)
    } else {
        text.starts_with("}}").then_some(RightDelimiter::Plain)
    }
}

fn has_left_trim(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}
