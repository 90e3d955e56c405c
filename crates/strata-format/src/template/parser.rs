//! Building the syntax tree. Messages are those of Go's `text/template/parse`.

use std::collections::HashMap;

use super::{
    lexer::{Keyword, Kind, Lexer, Token},
    syntax::{Branch, Node, OperandKind, Pipeline},
};
use crate::go_quote::{quote, unquote};

/// How deep actions and parentheses may be nested; protects the stack.
const DEPTH_LIMIT: usize = 100;

/// Parses a template and returns the bodies of all templates in it by name; the outermost has the empty name.
pub(super) fn parse(source: &str) -> Result<HashMap<String, Vec<Node>>, String> {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        pending: Vec::new(),
        line: 1,
        action_line: None,
        variables: vec!["$".to_owned()],
        range_depth: 0,
        depth: 0,
        bodies: HashMap::new(),
    };
    let body = parser.outermost()?;
    parser.define(String::new(), body)?;
    Ok(parser.bodies)
}

pub(super) struct Parser<'s> {
    lexer: Lexer<'s>,
    /// Tokens read ahead; the last one is next.
    pending: Vec<Token<'s>>,
    /// Line of the token read last.
    line: usize,
    /// Line of the left delimiter of the current action.
    action_line: Option<usize>,
    /// Names of the variables in scope.
    pub(super) variables: Vec<String>,
    range_depth: usize,
    depth: usize,
    bodies: HashMap<String, Vec<Node>>,
}

pub(super) type Parsed<T> = Result<T, String>;

/// What one step in a list of nodes gives.
enum Step {
    Node(Node),
    End,
    /// `{{else}}`, or `{{else` before an `if` or `with`.
    Else,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    Range,
    With,
}

impl Control {
    fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Range => "range",
            Self::With => "with",
        }
    }
}

impl<'s> Parser<'s> {
    pub(super) fn next(&mut self) -> Token<'s> {
        self.pending.pop().unwrap_or_else(|| {
            let token = self.lexer.next_token();
            self.line = token.line;
            token
        })
    }

    pub(super) fn push_back(&mut self, token: Token<'s>) {
        self.pending.push(token);
    }

    pub(super) fn peek(&mut self) -> &Token<'s> {
        let token = self.next();
        self.pending.push(token);
        &self.pending[self.pending.len() - 1]
    }

    pub(super) fn next_not_space(&mut self) -> Token<'s> {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    /// Looks at the next token that is no space; the spaces before it are gone.
    pub(super) fn peek_not_space(&mut self) -> &Token<'s> {
        let token = self.next_not_space();
        self.pending.push(token);
        &self.pending[self.pending.len() - 1]
    }

    pub(super) fn fail<T>(&self, message: impl AsRef<str>) -> Parsed<T> {
        Err(format!("template: :{}: {}", self.line, message.as_ref()))
    }

    pub(super) fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.fail(format!("unexpected {} in {context}", token.describe()));
        }
        match self.action_line {
            Some(line) if line != token.line => {
                let inside = if token.text.ends_with(" action") { "" } else { " in action" };
                self.fail(format!("{}{inside} started at :{line}", token.text))
            }
            _ => self.fail(&token.text),
        }
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token<'s>> {
        let token = self.next_not_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    pub(super) fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT { self.fail("actions or parentheses are nested too deeply") } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Everything up to the end of the source; only here templates may be defined.
    fn outermost(&mut self) -> Parsed<Vec<Node>> {
        let mut body = Vec::new();
        while self.peek().kind != Kind::End {
            let token = self.next();
            if token.kind == Kind::LeftDelimiter && self.peek_not_space().kind == Kind::Keyword(Keyword::Define) {
                self.next();
                self.definition()?;
                continue;
            }
            self.push_back(token);
            match self.text_or_action()? {
                Step::Node(node) => body.push(node),
                Step::End => return self.fail("unexpected {{end}}"),
                Step::Else => return self.fail("unexpected {{else}}"),
            }
        }
        Ok(body)
    }

    /// The rest of `{{define "name"}} ... {{end}}`.
    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_not_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelimiter, CONTEXT)?;
        let body = self.own_scope(CONTEXT)?;
        self.define(name, body)
    }

    /// A body with its own variables, up to `{{end}}`.
    fn own_scope(&mut self, context: &str) -> Parsed<Vec<Node>> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (body, end) = self.list()?;
        self.variables = variables;
        self.range_depth = range_depth;
        match end {
            ListEnd::End => Ok(body),
            ListEnd::Else => self.fail(format!("unexpected {{{{else}}}} in {context}")),
        }
    }

    fn define(&mut self, name: String, body: Vec<Node>) -> Parsed<()> {
        match self.bodies.get(&name) {
            Some(known) if !is_blank(known) => {
                if !is_blank(&body) {
                    return self.fail(format!("template: multiple definition of template {}", quote(&name)));
                }
            }
            _ => {
                self.bodies.insert(name, body);
            }
        }
        Ok(())
    }

    /// Nodes up to `{{end}}` or `{{else`.
    fn list(&mut self) -> Parsed<(Vec<Node>, ListEnd)> {
        let mut nodes = Vec::new();
        while self.peek_not_space().kind != Kind::End {
            match self.text_or_action()? {
                Step::Node(node) => nodes.push(node),
                Step::End => return Ok((nodes, ListEnd::End)),
                Step::Else => return Ok((nodes, ListEnd::Else)),
            }
        }
        self.fail("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Step> {
        let token = self.next_not_space();
        match token.kind {
            Kind::Text => Ok(Step::Node(Node::Text(token.text.into_owned()))),
            Kind::LeftDelimiter => {
                self.action_line = Some(token.line);
                let step = self.action()?;
                self.action_line = None;
                Ok(step)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    /// An action after its left delimiter.
    fn action(&mut self) -> Parsed<Step> {
        let token = self.next_not_space();
        let Kind::Keyword(keyword) = token.kind else {
            let position = token.position;
            self.push_back(token);
            let pipeline = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Step::Node(Node::Action { position, pipeline }));
        };
        let node = match keyword {
            Keyword::End => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Step::End);
            }
            Keyword::Else => return self.else_control(),
            Keyword::If => self.control(Control::If)?,
            Keyword::Range => self.control(Control::Range)?,
            Keyword::With => self.control(Control::With)?,
            Keyword::Break => self.jump("break", Node::Break)?,
            Keyword::Continue => self.jump("continue", Node::Continue)?,
            Keyword::Template => self.template_call()?,
            Keyword::Block => self.block()?,
            Keyword::Define => return self.unexpected(&token, "command"),
        };
        Ok(Step::Node(node))
    }

    fn else_control(&mut self) -> Parsed<Step> {
        let followed_by = self.peek_not_space().kind;
        if !matches!(followed_by, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Step::Else)
    }

    fn jump(&mut self, name: &str, node: Node) -> Parsed<Node> {
        let token = self.next_not_space();
        if token.kind != Kind::RightDelimiter {
            return self.unexpected(&token, &format!("{{{{{name}}}}}"));
        }
        if self.range_depth == 0 {
            return self.fail(format!("{{{{{name}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// If, range or with after the keyword, up to and including `{{end}}`.
    fn control(&mut self, control: Control) -> Parsed<Node> {
        self.enter()?;
        let scope = self.variables.len();
        let pipeline = self.pipeline(control.name(), Kind::RightDelimiter)?;
        let is_range = usize::from(control == Control::Range);
        self.range_depth += is_range;
        let (body, end) = self.list()?;
        self.range_depth -= is_range;
        let otherwise = match end {
            ListEnd::End => None,
            ListEnd::Else => Some(self.otherwise(control)?),
        };
        self.variables.truncate(scope);
        self.leave();
        let branch = Branch { pipeline, body, otherwise };
        Ok(match control {
            Control::If => Node::If(branch),
            Control::Range => Node::Range(branch),
            Control::With => Node::With(branch),
        })
    }

    /// What follows `{{else`. In `{{else if ...}}` the inner if takes the only `{{end}}`.
    fn otherwise(&mut self, control: Control) -> Parsed<Vec<Node>> {
        let chained = match self.peek().kind {
            Kind::Keyword(Keyword::If) => Some(Control::If),
            Kind::Keyword(Keyword::With) => Some(Control::With),
            _ => None,
        };
        if let Some(chained) = chained.filter(|chained| *chained == control) {
            self.next();
            return Ok(vec![self.control(chained)?]);
        }
        let (nodes, end) = self.list()?;
        match end {
            ListEnd::End => Ok(nodes),
            ListEnd::Else => self.fail("expected end; found {{else}}"),
        }
    }

    fn template_call(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_not_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipeline = if self.peek_not_space().kind == Kind::RightDelimiter {
            self.next();
            None
        } else {
            Some(self.pipeline(CONTEXT, Kind::RightDelimiter)?)
        };
        Ok(Node::Template { position: token.position, name, pipeline })
    }

    /// `{{block "name" pipeline}} ... {{end}}`: a definition and a call of it.
    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_not_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipeline = self.pipeline(CONTEXT, Kind::RightDelimiter)?;
        self.enter()?;
        let body = self.own_scope(CONTEXT)?;
        self.leave();
        self.define(name.clone(), body)?;
        Ok(Node::Template { position: token.position, name, pipeline: Some(pipeline) })
    }

    fn template_name(&self, token: &Token<'_>, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => self.unquoted(&token.text),
            _ => self.unexpected(token, context),
        }
    }

    pub(super) fn unquoted(&self, literal: &str) -> Parsed<String> {
        unquote(literal).map_or_else(|| self.fail("invalid syntax"), Ok)
    }

    /// A pipeline up to and including the token `end`.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipeline> {
        let position = self.peek_not_space().position;
        let mut pipeline = Pipeline { position, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipeline, context)?;
        loop {
            let token = self.next_not_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharacterConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.push_back(token);
                    let command = self.command()?;
                    pipeline.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check(&pipeline, context)?;
        Ok(pipeline)
    }

    /// `$x :=`, `$x =` or, in a range, `$i, $x :=`.
    fn declarations(&mut self, pipeline: &mut Pipeline, context: &str) -> Parsed<()> {
        while self.peek_not_space().kind == Kind::Variable {
            let variable = self.next();
            let after = self.peek().clone();
            let next = self.peek_not_space();
            let is_comma = next.kind == Kind::Character && next.text == ",";
            if !is_comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                // An ordinary use of the variable; a space before the next argument counts.
                if after.kind == Kind::Space {
                    self.push_back(after);
                }
                self.push_back(variable);
                return Ok(());
            }
            let separator = self.next();
            pipeline.variables.push(variable.text.to_string());
            self.variables.push(variable.text.into_owned());
            if !is_comma {
                pipeline.assigns = separator.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipeline.variables.len() > 1 {
                return self.fail(format!("too many declarations in {context}"));
            }
            let next = self.peek_not_space().kind;
            if !matches!(next, Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis) {
                return self.fail("range can only initialize variables");
            }
        }
        Ok(())
    }

    fn check(&self, pipeline: &Pipeline, context: &str) -> Parsed<()> {
        if pipeline.commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in pipeline.commands.iter().enumerate().skip(1) {
            let first = command.operands.first().map(|operand| &operand.kind);
            if let Some(
                OperandKind::Bool(_)
                | OperandKind::Dot
                | OperandKind::Nil
                | OperandKind::Number(_)
                | OperandKind::String { .. },
            ) = first
            {
                return self.fail(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(())
    }
}

enum ListEnd {
    End,
    Else,
}

/// Whether a body holds nothing but white space.
fn is_blank(body: &[Node]) -> bool {
    body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
