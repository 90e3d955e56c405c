//! What the user asks for, completed by what the image says. Pure; the rules are docker's.

use std::collections::BTreeMap;

use strata_model::{ContainerConfig, Healthcheck};

use super::document::{Config, Set};
use crate::{EngineError, Result};

/// Completes a container's configuration by its image's.
///
/// # Errors
/// `Invalid` when there is nothing to run.
pub(crate) fn complete(config: &mut Config, image: &ContainerConfig) -> Result<()> {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    config.exposed_ports = union(config.exposed_ports.take(), image.exposed_ports.as_ref());
    config.volumes = union(config.volumes.take(), image.volumes.as_ref());
    config.env = Some(environment(config.env.take().unwrap_or_default(), image.env.as_deref().unwrap_or_default()));
    config.labels = Some(labels(config.labels.take().unwrap_or_default(), image.labels.as_ref()));
    let has_entrypoint = config.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    if !has_entrypoint {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if config.entrypoint.as_ref().is_some_and(|words| words.len() == 1 && words[0].is_empty()) {
        config.entrypoint = None;
    }
    config.healthcheck = healthcheck(config.healthcheck.take(), image.healthcheck.as_ref());
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    if config.stop_signal.is_none() {
        config.stop_signal = image.stop_signal.clone().filter(|signal| !signal.is_empty());
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
    config.on_build.clone_from(&image.on_build);
    match command_line(config).is_empty() {
        true => Err(EngineError::invalid("no command specified")),
        false => Ok(()),
    }
}

/// The words that are executed.
pub(crate) fn command_line(config: &Config) -> Vec<String> {
    config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect()
}

fn union(own: Option<Set>, image: Option<&Set>) -> Option<Set> {
    let mut all = own.unwrap_or_default();
    for (key, value) in image.into_iter().flatten() {
        all.entry(key.clone()).or_insert_with(|| value.clone());
    }
    (!all.is_empty()).then_some(all)
}

/// The user's variables, then those of the image that they do not set.
fn environment(mut own: Vec<String>, image: &[String]) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let set: Vec<String> = own.iter().map(|entry| key(entry)).collect();
    own.extend(image.iter().filter(|entry| !set.contains(&key(entry))).cloned());
    own
}

fn labels(mut own: BTreeMap<String, String>, image: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    for (key, value) in image.into_iter().flatten() {
        own.entry(key.clone()).or_insert_with(|| value.clone());
    }
    own
}

/// Each part that is not given is the image's.
fn healthcheck(own: Option<Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let (Some(own), Some(image)) = (&own, image) else { return own.or_else(|| image.cloned()) };
    let number = |own: Option<i64>, image: Option<i64>| own.filter(|value| *value != 0).or(image);
    Some(Healthcheck {
        test: own.test.clone().filter(|test| !test.is_empty()).or_else(|| image.test.clone()),
        interval: number(own.interval, image.interval),
        timeout: number(own.timeout, image.timeout),
        start_period: number(own.start_period, image.start_period),
        start_interval: number(own.start_interval, image.start_interval),
        retries: number(own.retries, image.retries),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn entry_point_and_command() {
        type Words = Option<&'static [&'static str]>;
        // Image's entry point and command, the user's, and what runs.
        let cases: &[(Words, Words, Words, Words, &[&str])] = &[
            (None, Some(&["sh"]), None, None, &["sh"]),
            (None, Some(&["sh"]), None, Some(&["ls", "-l"]), &["ls", "-l"]),
            (Some(&["run"]), Some(&["serve"]), None, None, &["run", "serve"]),
            (Some(&["run"]), Some(&["serve"]), None, Some(&["stop"]), &["run", "stop"]),
            (Some(&["run"]), Some(&["serve"]), Some(&["sh"]), None, &["sh"]),
            (Some(&["run"]), Some(&["serve"]), Some(&["sh"]), Some(&["-c"]), &["sh", "-c"]),
            (Some(&["run"]), Some(&["serve"]), Some(&[""]), Some(&["ls"]), &["ls"]),
            (Some(&["run"]), None, Some(&[""]), None, &[]),
            (None, None, None, None, &[]),
        ];
        for (image_entry, image_cmd, entry, cmd, expected) in cases {
            let image = ContainerConfig {
                entrypoint: image_entry.and_then(strings),
                cmd: image_cmd.and_then(strings),
                ..ContainerConfig::default()
            };
            let mut config =
                Config { entrypoint: entry.and_then(strings), cmd: cmd.and_then(strings), ..Config::default() };
            let outcome = complete(&mut config, &image);
            assert_eq!(command_line(&config), *expected);
            assert_eq!(outcome.is_err(), expected.is_empty());
        }
    }

    #[test]
    fn what_the_user_gives_wins() {
        let set = |names: &[&str]| Some(names.iter().map(|name| ((*name).into(), serde_json::json!({}))).collect());
        let labels = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let image = ContainerConfig {
            user: "web".into(),
            env: strings(&["PATH=/bin", "A=1"]),
            cmd: strings(&["sh"]),
            exposed_ports: set(&["80/tcp"]),
            volumes: set(&["/data"]),
            labels: labels(&[("a", "image"), ("b", "image")]),
            working_dir: "/srv".into(),
            stop_signal: Some("SIGQUIT".into()),
            healthcheck: Some(Healthcheck {
                test: strings(&["CMD", "true"]),
                interval: Some(5),
                ..Healthcheck::default()
            }),
            ..ContainerConfig::default()
        };
        let mut config = Config {
            env: strings(&["A=2", "B=3", "PATH"]),
            labels: labels(&[("a", "user")]),
            exposed_ports: set(&["53/udp"]),
            healthcheck: Some(Healthcheck { retries: Some(9), ..Healthcheck::default() }),
            working_dir: "/tmp".into(),
            ..Config::default()
        };
        complete(&mut config, &image).unwrap();
        assert_eq!(config.env, strings(&["A=2", "B=3", "PATH"]));
        assert_eq!(config.labels, labels(&[("a", "user"), ("b", "image")]));
        assert_eq!(config.exposed_ports, set(&["53/udp", "80/tcp"]));
        assert_eq!(config.volumes, set(&["/data"]));
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("web", "/tmp"));
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
        let health = config.healthcheck.unwrap();
        assert_eq!((health.test, health.interval, health.retries), (strings(&["CMD", "true"]), Some(5), Some(9)));
    }
}
