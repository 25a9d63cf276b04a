use std::io::Write;

use super::*;

const NONE: [(String, String); 0] = [];

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn refused(file: Option<&Path>, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let loaded = Config::load(file, pairs(variables), pairs(flags));
    loaded.expect_err("refused").to_string()
}

#[test]
fn without_anything_the_defaults_count() {
    let config = Config::load(None, NONE, NONE).expect("loads");
    assert_eq!(config, Config::default());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = file("listen = '127.0.0.1:1'\nlabel = 'file'\n[limits]\nstreams_max = 1\n");
    let variables = pairs(&[
        ("SESSION_JOURNAL_GATEWAY_LISTEN", "127.0.0.1:2"),
        ("SESSION_JOURNAL_GATEWAY_LIMITS_STREAMS_MAX", "2"),
        ("SESSION_JOURNAL_GATEWAY_AUTO_REPAIR", "false"),
        ("SESSION_JOURNAL_STORE", "not ours"),
    ]);
    let flags = pairs(&[("listen", "127.0.0.1:3"), ("limits.body_bytes_max", "3")]);
    let config = Config::load(Some(file.path()), variables, flags).expect("loads");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.label, "file");
    assert_eq!((config.limits.streams_max, config.limits.body_bytes_max), (2, 3));
    assert!(!config.auto_repair);
}

#[test]
fn what_is_not_known_is_an_error_wherever_it_stands() {
    let unknown = file("listne = '127.0.0.1:1'\n");
    let error = refused(Some(unknown.path()), &[], &[]);
    assert!(error.contains("listne"), "{error}");
    assert!(error.contains(&unknown.path().display().to_string()), "{error}");
    let inside = file("[limits]\nstream_max = 1\n");
    assert!(refused(Some(inside.path()), &[], &[]).contains("stream_max"));
    let error = refused(None, &[("SESSION_JOURNAL_GATEWAY_LISTNE", "x")], &[]);
    assert!(error.contains("SESSION_JOURNAL_GATEWAY_LISTNE"), "{error}");
    assert!(refused(None, &[], &[("limits.stream_max", "1")]).contains("limits.stream_max"));
    assert!(refused(None, &[], &[("tokens", "x")]).contains("file alone"));
}

#[test]
fn a_value_of_another_type_is_an_error() {
    assert!(refused(None, &[], &[("limits.streams_max", "many")]).contains("invalid digit"));
    assert!(refused(None, &[], &[("listen", "nowhere")]).contains("listen"));
    assert!(refused(None, &[], &[("durability", "soon")]).contains("soon"));
    assert!(refused(None, &[], &[("limits.keep_alive_ms", "0")]).contains("keep_alive_ms"));
}

#[test]
fn off_loopback_there_must_be_a_token() {
    for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
        assert!(refused(None, &[], &[("listen", listen)]).contains("token"));
    }
    for listen in ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1"] {
        Config::load(None, NONE, pairs(&[("listen", listen)])).expect("loads");
    }
    let hash = "0".repeat(64);
    let with = file(&format!(
        "listen = '0.0.0.0:1'\n[[tokens]]\nname = 'a'\nsha256 = '{hash}'\nagents = ['*']\nscopes = ['read']\n"
    ));
    Config::load(Some(with.path()), NONE, NONE).expect("loads");
}

#[test]
fn a_token_that_reaches_nothing_or_is_no_hash_is_an_error() {
    let token = |sha256: &str, agents: &str| {
        file(&format!(
            "[[tokens]]\nname = 'a'\nsha256 = '{sha256}'\nagents = {agents}\nscopes = ['read']\n"
        ))
    };
    let plain = token("secret", "['*']");
    assert!(refused(Some(plain.path()), &[], &[]).contains("sha256"));
    let none = token(&"0".repeat(64), "[]");
    assert!(refused(Some(none.path()), &[], &[]).contains("no agents"));
}

#[test]
fn every_value_can_be_set_by_a_variable() {
    let names = keys();
    assert!(names.len() > 20, "{names:?}");
    let defaults = defaults();
    for key in names {
        let value = match key.split_once('.') {
            None => &defaults[&key],
            Some((section, name)) => &defaults[section][name],
        };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            other => panic!("{other:?} is no single value"),
        };
        let variable = format!("{VARIABLE_PREFIX}{}", variable_of(&key));
        let config = Config::load(None, [(variable, text)], NONE).expect("loads");
        assert_eq!(config, Config::default(), "{key}");
    }
}

#[test]
fn the_document_names_every_setting_with_its_default() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gateway.md");
    let document = fs::read_to_string(document).expect("reads");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let defaults = defaults();
    for key in keys() {
        let value = match key.split_once('.') {
            None => &defaults[&key],
            Some((section, name)) => &defaults[section][name],
        };
        let row = rows.iter().find(|row| row[1] == format!("`{key}`"));
        let row = row.unwrap_or_else(|| panic!("{key} is not in docs/gateway.md"));
        let default = match value {
            Value::Integer(value) => value.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::String(value) if key != "label" => value.clone(),
            _ => continue,
        };
        assert_eq!(row[2], default, "{key}");
    }
}
