//! Arguments of functions and methods: evaluating them and checking their types.

use super::{
    Value,
    evaluate::{Evaluated, State},
    functions::Parameter,
    syntax::{Operand, OperandKind},
};

/// The arguments of one call: those written after it and the result of the command before it in the pipeline.
pub(super) struct Arguments<'t> {
    pub(super) operands: &'t [Operand],
    pub(super) last: Option<Value>,
}

impl Arguments<'_> {
    pub(super) fn none() -> Self {
        Self { operands: &[], last: None }
    }

    pub(super) fn count(&self) -> usize {
        self.operands.len() + usize::from(self.last.is_some())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl<'t> State<'t> {
    pub(super) fn evaluate_arguments(
        &mut self,
        dot: &Value,
        arguments: Arguments<'t>,
        parameter: impl Fn(usize) -> Parameter,
    ) -> Evaluated<Vec<Value>> {
        let mut values = Vec::with_capacity(arguments.count());
        for (index, operand) in arguments.operands.iter().enumerate() {
            values.push(self.argument(dot, parameter(index), operand)?);
        }
        if let Some(last) = arguments.last {
            let expected = parameter(values.len());
            values.push(self.checked(last, expected)?);
        }
        Ok(values)
    }

    /// Evaluates one argument and checks it against the type of its parameter.
    pub(super) fn argument(&mut self, dot: &Value, expected: Parameter, operand: &'t Operand) -> Evaluated<Value> {
        self.at(operand);
        let value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil if matches!(expected, Parameter::Any) => return Ok(Value::Nil),
            OperandKind::Nil => return self.fail(format!("cannot assign nil to {}", expected.type_name())),
            OperandKind::Field(_) | OperandKind::Variable { .. } | OperandKind::Chain { .. } => {
                self.operand_with_arguments(dot, operand, Arguments::none())?
            }
            OperandKind::Pipeline(pipeline) => self.pipeline(dot, pipeline)?,
            OperandKind::Identifier(name) => self.function_operand(dot, name, operand)?,
            OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::String { .. } => {
                return self.literal(dot, expected, operand);
            }
        };
        self.checked(value, expected)
    }

    /// A constant as an argument: its notation must fit the type of the parameter.
    fn literal(&mut self, dot: &Value, expected: Parameter, operand: &'t Operand) -> Evaluated<Value> {
        match (expected, &operand.kind) {
            (Parameter::String, OperandKind::String { .. }) | (Parameter::Any, _) => self.constant(dot, operand),
            (Parameter::Integer, OperandKind::Number(number)) if number.integer.is_some() => {
                Ok(Value::Int(number.integer.unwrap_or_default()))
            }
            (Parameter::String, _) => self.fail(format!("expected string; found {operand}")),
            (Parameter::Integer, _) => self.fail(format!("expected integer; found {operand}")),
            (Parameter::Strings, _) => {
                self.fail(format!("can't handle {operand} for arg of type {}", expected.type_name()))
            }
        }
    }

    fn checked(&self, value: Value, expected: Parameter) -> Evaluated<Value> {
        let fits = match (expected, &value) {
            (Parameter::Any, Value::Missing) => return Ok(Value::Nil),
            (Parameter::Any, _)
            | (Parameter::String, Value::String(_))
            | (Parameter::Integer, Value::Int(_))
            | (Parameter::Strings, Value::Missing | Value::Nil) => true,
            // Wider than Go, which refuses untyped lists of strings.
            (Parameter::Strings, Value::List(list)) => list.items().iter().all(|item| matches!(item, Value::String(_))),
            (_, Value::Missing | Value::Nil) => {
                return self.fail(format!("invalid value; expected {}", expected.type_name()));
            }
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        self.fail(format!("wrong type for value; expected {}; got {}", expected.type_name(), value.type_name()))
    }
}
