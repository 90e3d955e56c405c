//! Dockerfile instructions that change a configuration: `import --change` (and `commit --change`, when containers come).

use serde_json::{Map, Value, json};

use crate::{EngineError, Result};

/// Applies one instruction to the container part of a configuration.
///
/// # Errors
/// `Invalid` with docker's wording for instructions that change nothing of a configuration, and for malformed ones.
pub(crate) fn apply_change(config: &mut Map<String, Value>, change: &str) -> Result<()> {
    let (instruction, rest) = match change.trim().split_once(char::is_whitespace) {
        Some((instruction, rest)) => (instruction.to_ascii_uppercase(), rest.trim()),
        None => (change.trim().to_ascii_uppercase(), ""),
    };
    if rest.is_empty() {
        return Err(match is_known(&instruction) {
            true => EngineError::invalid(format!("{instruction} requires at least one argument")),
            false => unknown(&instruction),
        });
    }
    match instruction.as_str() {
        "CMD" => set(config, "Cmd", command(rest)),
        "ENTRYPOINT" => set(config, "Entrypoint", command(rest)),
        "USER" => set(config, "User", json!(rest)),
        "WORKDIR" => set(config, "WorkingDir", json!(rest)),
        "STOPSIGNAL" => set(config, "StopSignal", json!(rest)),
        "ENV" => {
            for (key, value) in pairs(rest, "ENV")? {
                set_environment(config, &key, &value);
            }
        }
        "LABEL" => {
            for (key, value) in pairs(rest, "LABEL")? {
                member(config, "Labels").insert(key, json!(value));
            }
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
                member(config, "ExposedPorts").insert(port, json!({}));
            }
        }
        "VOLUME" => {
            for volume in list(rest).unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect()) {
                member(config, "Volumes").insert(volume, json!({}));
            }
        }
        "ONBUILD" => push(config, "OnBuild", json!(rest)),
        "HEALTHCHECK" => set(config, "Healthcheck", healthcheck(rest)?),
        _ if is_known(&instruction) => {
            return Err(EngineError::invalid(format!("{instruction} is not a valid change command")));
        }
        _ => return Err(unknown(&instruction)),
    }
    Ok(())
}

fn unknown(instruction: &str) -> EngineError {
    EngineError::invalid(format!("unknown instruction: {instruction}"))
}

fn is_known(instruction: &str) -> bool {
    const KNOWN: &[&str] = &[
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    KNOWN.contains(&instruction)
}

fn set(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.insert(key.to_owned(), value);
}

fn member<'a>(config: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let entry = config.entry(key.to_owned()).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    match entry {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made an object above"),
    }
}

fn push(config: &mut Map<String, Value>, key: &str, value: Value) {
    match config.get_mut(key) {
        Some(Value::Array(items)) => items.push(value),
        _ => set(config, key, json!([value])),
    }
}

fn set_environment(config: &mut Map<String, Value>, key: &str, value: &str) {
    let text = format!("{key}={value}");
    let prefix = format!("{key}=");
    if let Some(Value::Array(items)) = config.get_mut("Env") {
        let known = items.iter_mut().find(|item| item.as_str().is_some_and(|item| item.starts_with(&prefix)));
        match known {
            Some(item) => *item = json!(text),
            None => items.push(json!(text)),
        }
        return;
    }
    set(config, "Env", json!([text]));
}

/// A JSON list of strings, as in the exec form.
fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(text: &str) -> Value {
    match list(text) {
        Some(words) => json!(words),
        None => json!(["/bin/sh", "-c", text]),
    }
}

/// `key=value …` with quotes, or the old `key value`.
fn pairs(text: &str, instruction: &str) -> Result<Vec<(String, String)>> {
    let words = words(text);
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (key, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| EngineError::invalid(format!("{instruction} must have two arguments")))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(EngineError::invalid(format!(
                "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
            ))),
        })
        .collect()
}

/// Words separated by blanks; quotes and backslashes keep blanks together and are removed.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut started = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                started = true;
            }
            (None | Some('"'), '\\') => word.extend(characters.next()),
            (None, _) if character.is_whitespace() => {
                if started || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
            }
            _ => word.push(character),
        }
    }
    if started || !word.is_empty() {
        words.push(word);
    }
    words
}

fn healthcheck(text: &str) -> Result<Value> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(json!({ "Test": ["NONE"] }));
    }
    let mut fields = Map::new();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| EngineError::invalid(format!("HEALTHCHECK flag --{option} has no value")))?;
        let invalid = |cause: String| EngineError::invalid(format!("HEALTHCHECK --{name}: {cause}"));
        let duration = || strata_format::duration::parse(value).map_err(|cause| invalid(cause.to_string()));
        let (key, value) = match name {
            "interval" => ("Interval", json!(duration()?)),
            "timeout" => ("Timeout", json!(duration()?)),
            "start-period" => ("StartPeriod", json!(duration()?)),
            "start-interval" => ("StartInterval", json!(duration()?)),
            "retries" => ("Retries", json!(value.parse::<i64>().map_err(|cause| invalid(cause.to_string()))?)),
            _ => return Err(EngineError::invalid(format!("unknown flag: {name}"))),
        };
        fields.insert(key.to_owned(), value);
        rest = after.trim_start();
    }
    let command = rest
        .strip_prefix("CMD")
        .map(str::trim)
        .filter(|command| !command.is_empty())
        .ok_or_else(|| EngineError::invalid("HEALTHCHECK requires CMD or NONE"))?;
    let test = match list(command) {
        Some(mut words) => {
            words.insert(0, "CMD".into());
            words
        }
        None => vec!["CMD-SHELL".into(), command.to_owned()],
    };
    let mut ordered = Map::new();
    ordered.insert("Test".into(), json!(test));
    ordered.extend(fields);
    Ok(Value::Object(ordered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = Map::new();
        for change in [
            "CMD [\"nginx\", \"-g\"]",
            "entrypoint run me",
            "ENV A=1 B=\"two words\"",
            "ENV A 3",
            "LABEL k=v",
            "EXPOSE 80 53/udp",
            "VOLUME /data",
            "USER 7",
            "WORKDIR /w",
            "HEALTHCHECK --interval=5s --retries=3 CMD true",
        ] {
            apply_change(&mut config, change).unwrap();
        }
        let expected = json!({
            "Cmd": ["nginx", "-g"],
            "Entrypoint": ["/bin/sh", "-c", "run me"],
            "Env": ["A=3", "B=two words"],
            "Labels": {"k": "v"},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}},
            "User": "7",
            "WorkingDir": "/w",
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_i64, "Retries": 3},
        });
        assert_eq!(Value::Object(config), expected);
    }

    #[test]
    fn other_instructions_are_refused() {
        let refused = |change: &str| apply_change(&mut Map::new(), change).unwrap_err().to_string();
        assert_eq!(refused("RUN make"), "RUN is not a valid change command");
        assert_eq!(refused("FOO bar"), "unknown instruction: FOO");
    }
}
