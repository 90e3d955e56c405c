//! Walking the syntax tree. Follows Go's `text/template/exec.go`, the places that errors point to included.

use super::{
    FunctionSet, MissingKey, Template, Value,
    arguments::Arguments,
    functions::Parameter,
    place::Place,
    printf,
    syntax::{Branch, Node, Number, Operand, OperandKind, Pipeline},
};
use crate::{Error, go_quote::quote};

/// How deep templates, lists and pipelines may be nested while executing; protects the stack.
const DEPTH_LIMIT: usize = 400;

/// Executes the outermost template. What was printed before an error is returned with it.
pub(super) fn execute(
    template: &Template,
    data: &Value,
    missing_key: MissingKey,
    functions: FunctionSet,
) -> (String, Result<(), Error>) {
    let mut state = State {
        template,
        name: "",
        missing_key,
        functions,
        out: String::new(),
        variables: vec![("$", data.clone())],
        place: Place::Start,
        depth: 0,
    };
    let body = template.bodies.get("").map_or(&[][..], Vec::as_slice);
    let result = state.list(data, body).map(|_| ());
    (state.out, result)
}

/// What comes after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) struct State<'t> {
    template: &'t Template,
    /// Name of the template being executed.
    name: &'t str,
    pub(super) missing_key: MissingKey,
    pub(super) functions: FunctionSet,
    out: String,
    /// Variables in scope, innermost last.
    variables: Vec<(&'t str, Value)>,
    pub(super) place: Place<'t>,
    depth: usize,
}

pub(super) type Evaluated<T> = Result<T, Error>;

impl<'t> State<'t> {
    pub(super) fn fail<T>(&self, message: impl AsRef<str>) -> Evaluated<T> {
        let before = &self.template.source[..self.place.position()];
        let line = 1 + before.matches('\n').count();
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        Err(Error::TemplateExecution(format!(
            "template: :{line}:{column}: executing {} at <{}>: {}",
            quote(self.name),
            self.place,
            message.as_ref()
        )))
    }

    pub(super) fn at(&mut self, operand: &'t Operand) {
        self.place = Place::Operand(operand);
    }

    fn enter(&mut self) -> Evaluated<()> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return self.fail(format!("exceeded maximum template depth ({DEPTH_LIMIT})"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    fn list(&mut self, dot: &Value, nodes: &'t [Node]) -> Evaluated<Flow> {
        self.enter()?;
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.node(dot, node)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.leave();
        Ok(flow)
    }

    fn node(&mut self, dot: &Value, node: &'t Node) -> Evaluated<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action { position, pipeline } => {
                let value = self.pipeline(dot, pipeline)?;
                if pipeline.variables.is_empty() {
                    self.place = Place::Action(*position, pipeline);
                    self.print(&value)?;
                }
            }
            Node::If(branch) => return self.branch(dot, branch, false),
            Node::With(branch) => return self.branch(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Template { position, name, pipeline } => {
                self.place = Place::Template(*position, name, pipeline.as_ref());
                self.call_template(dot, name, pipeline.as_ref())?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Value) -> Evaluated<()> {
        match value {
            Value::Missing => self.out.push_str("<no value>"),
            Value::Function(_) => {
                let place = self.place.to_string();
                return self.fail(format!("can't print {place} of type {}", value.type_name()));
            }
            _ => self.out.push_str(&printf::sprint(std::slice::from_ref(value))),
        }
        Ok(())
    }

    fn branch(&mut self, dot: &Value, branch: &'t Branch, sets_dot: bool) -> Evaluated<Flow> {
        let scope = self.variables.len();
        let value = self.pipeline(dot, &branch.pipeline)?;
        let flow = match &branch.otherwise {
            _ if value.is_true() => self.list(if sets_dot { &value } else { dot }, &branch.body)?,
            Some(otherwise) => self.list(dot, otherwise)?,
            None => Flow::Next,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Evaluated<Flow> {
        let scope = self.variables.len();
        let value = self.pipeline(dot, &branch.pipeline)?;
        let ran = match &value {
            Value::List(list) => {
                let items = list.items().iter().enumerate();
                self.iterate(branch, items.map(|(index, item)| (Value::Int(index as i128), item.clone())))?
            }
            Value::Map(map) => {
                self.iterate(branch, map.iter().map(|(key, item)| (Value::String(key.clone()), item.clone())))?
            }
            Value::Int(_) if branch.pipeline.variables.len() > 1 => {
                let shown = printf::sprint(&[value]);
                return self.fail(format!("can't use {shown} to iterate over more than one variable"));
            }
            Value::Int(count) => self.iterate(branch, (0..*count).map(|n| (Value::Int(n), Value::Int(n))))?,
            Value::Missing | Value::Nil => false,
            _ => {
                let shown = printf::sprint(&[value]);
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        let flow = match &branch.otherwise {
            Some(otherwise) if !ran => self.list(dot, otherwise)?,
            _ => Flow::Next,
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    /// Executes the body once per item; says whether there was any.
    fn iterate(&mut self, branch: &'t Branch, items: impl Iterator<Item = (Value, Value)>) -> Evaluated<bool> {
        let scope = self.variables.len();
        let mut ran = false;
        for (index, item) in items {
            ran = true;
            self.set_range_variables(&branch.pipeline, index, &item)?;
            let flow = self.list(&item, &branch.body)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(ran)
    }

    fn set_range_variables(&mut self, pipeline: &'t Pipeline, index: Value, item: &Value) -> Evaluated<()> {
        let values = match pipeline.variables.len() {
            0 => return Ok(()),
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        if pipeline.assigns {
            return pipeline.variables.iter().zip(values).try_for_each(|(name, value)| self.assign(name, value));
        }
        // The pipeline has just declared them.
        let first = self.variables.len() - values.len();
        for (variable, value) in self.variables[first..].iter_mut().zip(values) {
            variable.1 = value;
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Evaluated<()> {
        match self.variables.iter_mut().rfind(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => return self.fail(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn call_template(&mut self, dot: &Value, name: &'t str, pipeline: Option<&'t Pipeline>) -> Evaluated<()> {
        let template = self.template;
        let Some(body) = template.bodies.get(name) else {
            return self.fail(format!("template {} not defined", quote(name)));
        };
        let dot = match pipeline {
            Some(pipeline) => self.pipeline(dot, pipeline)?,
            None => Value::Missing,
        };
        // No dynamic scoping: the template sees no variables of its caller.
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let caller = std::mem::replace(&mut self.name, name);
        self.list(&dot, body)?;
        self.variables = variables;
        self.name = caller;
        Ok(())
    }

    pub(super) fn pipeline(&mut self, dot: &Value, pipeline: &'t Pipeline) -> Evaluated<Value> {
        self.enter()?;
        self.place = Place::Pipeline(pipeline);
        let mut value: Option<Value> = None;
        for command in &pipeline.commands {
            let result = self.command(dot, command.position, &command.operands, value)?;
            // A nil interface taken out of its container is no value at all.
            value = Some(if result == Value::Nil { Value::Missing } else { result });
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        self.leave();
        Ok(value)
    }

    /// Evaluates a command; `last` is the result of the command before it in the pipeline.
    fn command(
        &mut self,
        dot: &Value,
        position: usize,
        operands: &'t [Operand],
        last: Option<Value>,
    ) -> Evaluated<Value> {
        let Some((first, rest)) = operands.split_first() else { return self.fail("empty command") };
        let arguments = Arguments { operands: rest, last };
        match &first.kind {
            OperandKind::Field(_) | OperandKind::Chain { .. } | OperandKind::Variable { .. } => {
                self.operand_with_arguments(dot, first, arguments)
            }
            OperandKind::Identifier(name) => {
                self.at(first);
                self.function(dot, name, Place::Command(position, operands), arguments)
            }
            OperandKind::Pipeline(pipeline) => {
                self.refuse_arguments(first, &arguments)?;
                self.pipeline(dot, pipeline)
            }
            _ => {
                self.at(first);
                self.refuse_arguments(first, &arguments)?;
                match &first.kind {
                    OperandKind::Nil => self.fail("nil is not a command"),
                    _ => self.constant(dot, first),
                }
            }
        }
    }

    /// A field, chain or variable, the last field of which may be a method with arguments.
    pub(super) fn operand_with_arguments(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        arguments: Arguments<'t>,
    ) -> Evaluated<Value> {
        self.at(operand);
        match &operand.kind {
            OperandKind::Field(fields) => self.fields(dot, dot.clone(), operand, fields, arguments),
            OperandKind::Variable { name, fields } => {
                let Some((_, value)) = self.variables.iter().rfind(|(known, _)| known == name) else {
                    return self.fail(format!("undefined variable: {name}"));
                };
                let value = value.clone();
                if fields.is_empty() {
                    self.refuse_arguments(operand, &arguments)?;
                    return Ok(value);
                }
                self.fields(dot, value, operand, fields, arguments)
            }
            OperandKind::Chain { start, fields } => {
                let value = match self.argument(dot, Parameter::Any, start)? {
                    Value::Nil => Value::Missing,
                    value => value,
                };
                self.fields(dot, value, operand, fields, arguments)
            }
            _ => self.constant(dot, operand),
        }
    }

    pub(super) fn refuse_arguments(&self, operand: &Operand, arguments: &Arguments<'_>) -> Evaluated<()> {
        if arguments.is_empty() {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {operand}"))
    }

    /// The value of a constant or the dot.
    pub(super) fn constant(&mut self, dot: &Value, operand: &'t Operand) -> Evaluated<Value> {
        self.at(operand);
        Ok(match &operand.kind {
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Dot => dot.clone(),
            OperandKind::Number(number) => return self.number(number),
            OperandKind::String { text, .. } => Value::String(text.clone()),
            _ => return self.fail(format!("can't evaluate command {}", quote(&operand.to_string()))),
        })
    }

    fn number(&self, number: &Number) -> Evaluated<Value> {
        match number.integer {
            _ if number.looks_like_float() => Ok(Value::Float(number.float)),
            Some(integer) if i64::try_from(integer).is_ok() => Ok(Value::Int(integer)),
            _ => self.fail(format!("{} overflows int", number.literal)),
        }
    }
}
