//! Fields of values, and calls of methods and functions.

use super::{
    MissingKey, Value,
    arguments::Arguments,
    evaluate::{Evaluated, State},
    functions::{self, Parameter, Signature},
    place::Place,
    syntax::Operand,
    value::{Function, Map},
};
use crate::go_quote::quote;

impl<'t> State<'t> {
    /// Follows `.A.B.C` from `receiver`; the arguments go to the last one.
    pub(super) fn fields(
        &mut self,
        dot: &Value,
        mut receiver: Value,
        operand: &'t Operand,
        fields: &'t [String],
        arguments: Arguments<'t>,
    ) -> Evaluated<Value> {
        let Some((last, first)) = fields.split_last() else { return Ok(receiver) };
        for field in first {
            receiver = self.field(dot, receiver, operand, field, Arguments::none())?;
        }
        self.field(dot, receiver, operand, last, arguments)
    }

    fn field(
        &mut self,
        dot: &Value,
        receiver: Value,
        operand: &'t Operand,
        name: &'t str,
        arguments: Arguments<'t>,
    ) -> Evaluated<Value> {
        match &receiver {
            Value::Missing if self.missing_key == MissingKey::Error => {
                self.fail(format!("nil data; no entry for key {}", quote(name)))
            }
            Value::Missing => Ok(Value::Missing),
            Value::Nil => self.fail(format!("nil pointer evaluating interface {{}}.{name}")),
            Value::NilPointer(type_name) => self.fail(format!("nil pointer evaluating {type_name}.{name}")),
            Value::Struct(value) => match value.get(name) {
                Some(Value::Function(method)) => self.method(dot, operand, name, &method.clone(), arguments),
                Some(_) if !arguments.is_empty() => {
                    self.fail(format!("{name} has arguments but cannot be invoked as function"))
                }
                Some(field) => Ok(field.clone()),
                None => self.fail(format!("can't evaluate field {name} in type {}", value.type_name())),
            },
            Value::Map(map) => self.entry(dot, map, operand, name, arguments),
            _ => self.fail(format!("can't evaluate field {name} in type {}", receiver.type_name())),
        }
    }

    fn entry(
        &mut self,
        dot: &Value,
        map: &Map,
        operand: &'t Operand,
        name: &'t str,
        arguments: Arguments<'t>,
    ) -> Evaluated<Value> {
        match map.get(name) {
            Some(Value::Function(method)) => self.method(dot, operand, name, &method.clone(), arguments),
            _ if !arguments.is_empty() => self.fail(format!("{name} is not a method but has arguments")),
            Some(value) => Ok(value.clone()),
            None if self.missing_key == MissingKey::Error => {
                self.fail(format!("map has no entry for key {}", quote(name)))
            }
            None => Ok(Value::Missing),
        }
    }

    fn method(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        name: &str,
        method: &Function,
        arguments: Arguments<'t>,
    ) -> Evaluated<Value> {
        let given = arguments.count();
        if given != method.parameters {
            return self.fail(format!("wrong number of args for {name}: want {} got {given}", method.parameters));
        }
        let values = self.evaluate_arguments(dot, arguments, |_| Parameter::Any)?;
        method.call(&values).or_else(|message| {
            self.at(operand);
            self.fail(format!("error calling {name}: {message}"))
        })
    }

    /// Calls a template function; errors of its own are reported at `place`.
    pub(super) fn function(
        &mut self,
        dot: &Value,
        name: &str,
        place: Place<'t>,
        arguments: Arguments<'t>,
    ) -> Evaluated<Value> {
        let Some(function) = functions::find(name, self.functions) else {
            return self.fail(format!("{} is not a defined function", quote(name)));
        };
        self.check_count(function, &arguments)?;
        if matches!(name, "and" | "or") {
            return self.short_circuit(dot, name == "or", arguments);
        }
        let values = self.evaluate_arguments(dot, arguments, |index| function.parameter(index))?;
        (function.body)(&values).or_else(|message| {
            self.place = place;
            self.fail(format!("error calling {name}: {message}"))
        })
    }

    /// A function used as an argument or as the start of a chain.
    pub(super) fn function_operand(&mut self, dot: &Value, name: &str, operand: &'t Operand) -> Evaluated<Value> {
        self.at(operand);
        self.function(dot, name, Place::Operand(operand), Arguments::none())
    }

    fn check_count(&self, function: &Signature, arguments: &Arguments<'_>) -> Evaluated<()> {
        let (name, want, given) = (function.name, function.fixed.len(), arguments.count());
        if function.variadic && given < want {
            let got = arguments.operands.len();
            return self.fail(format!("wrong number of args for {name}: want at least {want} got {got}"));
        }
        if !function.variadic && given != want {
            return self.fail(format!("wrong number of args for {name}: want {want} got {given}"));
        }
        Ok(())
    }

    /// `and` and `or` evaluate no more arguments than they need.
    fn short_circuit(&mut self, dot: &Value, stop_at: bool, arguments: Arguments<'t>) -> Evaluated<Value> {
        let mut value = Value::Missing;
        for operand in arguments.operands {
            value = self.argument(dot, Parameter::Any, operand)?;
            if value.is_true() == stop_at {
                return Ok(value);
            }
        }
        Ok(arguments.last.unwrap_or(value))
    }
}
