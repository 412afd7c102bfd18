//! The house rules that a compiler does not know: who may import whom, and who may name what.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The floors from the ground up. A module may import those of lower floors, and its own.
const FLOORS: [&[&str]; 7] = [
    &["payment", "resilience"],
    &["environment"],
    &["provider", "store", "sandbox", "api_key"],
    &["lookups", "config", "reconcile"],
    &["telemetry"],
    &["actors"],
    &["http"],
];
const TOP: &str = "cli";

/// A crate, and the places that may name it: one, or one for each end of a protocol.
const KNOWN_ONLY_TO: [(&str, &[&str]); 10] = [
    ("diesel", &["store"]),
    ("diesel_async", &["store"]),
    ("actix_web", &["http"]),
    ("actix_http", &["http"]),
    ("actix_server", &["http"]),
    ("hyper", &["sandbox"]),
    ("reqwest", &["provider/stripe", "cli/drill"]),
    ("clap", &["cli"]),
    ("redis", &["lookups"]),
    ("bb8_redis", &["lookups"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(sources.len() > 50, "these are not our sources");
    sources
}

fn floor(module: &str) -> Option<usize> {
    match FLOORS.iter().position(|floor| floor.contains(&module)) {
        None if module == TOP => Some(FLOORS.len()),
        floor => floor,
    }
}

fn module_of(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Code without comments, so that a word in a sentence is not taken for an import.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

/// The modules that a source names as `crate::…`, in whichever form of a use.
fn imports(text: &str) -> Vec<String> {
    let code: String = code(text).collect::<Vec<_>>().join("\n");
    let mut imports = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    _ => {}
                }
                if character.is_alphanumeric() || character == '_' {
                    word.push(character);
                } else {
                    if depth == 0 || character == '{' && depth == 1 {
                        imports.push(std::mem::take(&mut word));
                    }
                    if character == ':' || depth > 0 {
                        word.clear();
                    }
                }
            }
            imports.push(word);
        } else {
            imports.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    imports.retain(|name| floor(name).is_some());
    imports
}

#[test]
fn a_floor_imports_only_the_floors_below_it() {
    for (path, text) in sources() {
        let module = module_of(&path);
        if ["main", "lib"].contains(&module.as_str()) {
            continue;
        }
        let own = floor(&module).unwrap_or_else(|| panic!("{module} is on no floor"));
        for imported in imports(&text) {
            let allowed = imported == module || floor(&imported).is_some_and(|floor| floor < own);
            assert!(
                allowed,
                "{} imports {imported}, which is not below it",
                path.display()
            );
        }
    }
}

#[test]
fn the_check_of_imports_sees_every_form_of_a_use() {
    let text = "use crate::{\n    actors::{Order, Reply},\n    payment::Id,\n    store,\n};\n\
                use crate::http::Problem;\nfn f() { crate::cli::run() } // crate::config::x";
    assert_eq!(imports(text), ["actors", "payment", "store", "http", "cli"]);
}

#[test]
fn a_crate_is_named_only_where_it_is_known() {
    for (path, text) in sources() {
        for (name, places) in KNOWN_ONLY_TO {
            let named = code(&text).any(|line| {
                [
                    format!("use {name}::"),
                    format!(" {name}::"),
                    format!("({name}::"),
                ]
                .iter()
                .any(|form| line.contains(form.as_str()) || line.starts_with(&form[1..]))
            });
            assert!(
                !named || places.iter().any(|place| path.starts_with(place)),
                "{} names {name}",
                path.display()
            );
        }
    }
}

#[test]
fn clocks_and_randomness_are_read_only_at_the_edge() {
    let edge = [Path::new("environment.rs"), Path::new("cli")];
    let readings = [
        "SystemTime::now",
        "Instant::now",
        "now_utc",
        "getrandom::",
        "std::env::var",
    ];
    for (path, text) in sources() {
        for line in code(&text) {
            let monotonic = line.contains("Instant::now") && text.contains("tokio");
            let reads = readings.iter().any(|reading| line.contains(reading)) && !monotonic;
            assert!(
                !reads || edge.iter().any(|edge| path.starts_with(edge)),
                "{} reads the clock, chance or environment: {line}",
                path.display()
            );
        }
    }
}

/// The pure floors know no runtime but its clock, no framework, no thread.
#[test]
fn the_pure_floors_do_no_io() {
    for (path, text) in sources() {
        if !["payment", "resilience"].contains(&module_of(&path).as_str()) {
            continue;
        }
        for line in code(&text) {
            let io = [
                "std::fs",
                "std::net",
                "std::thread",
                "tokio::net",
                "tokio::spawn",
                "actix",
            ];
            let found = io.iter().find(|io| line.contains(*io));
            assert!(found.is_none(), "{}: {line}", path.display());
        }
    }
}
