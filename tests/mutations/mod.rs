//! The mutations of the protocol: each still fits the sources, so that `tests/mutations/run` can show
//! that the tests notice it. They are run by hand, since each takes a build.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The name of each mutation, and its patch.
fn mutations() -> Vec<(String, String)> {
    let folder = root().join("tests/mutations");
    let paths = fs::read_dir(folder).unwrap().map(|one| one.unwrap().path());
    let patches = paths.filter(|path: &PathBuf| path.extension().is_some_and(|it| it == "patch"));
    let named = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    let mutations: Vec<_> = patches.map(named).collect();
    assert!(mutations.len() > 10, "these are not our mutations");
    mutations
}

/// What a patch expects to find: of each of its hunks, the file and the lines.
fn expected(patch: &str) -> Vec<(&str, String)> {
    let mut expected: Vec<(&str, String)> = Vec::new();
    let mut file = "";
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("--- a/") {
            file = name;
        } else if line.starts_with("@@ ") {
            expected.push((file, String::new()));
        } else if let Some((_, lines)) = expected.last_mut()
            && let Some(old) = line.strip_prefix([' ', '-'])
        {
            lines.push_str(old);
            lines.push('\n');
        }
    }
    expected
}

#[test]
fn every_mutation_still_fits_the_sources() {
    for (name, patch) in mutations() {
        let expected = expected(&patch);
        assert!(!expected.is_empty(), "{name} changes nothing");
        for (file, lines) in expected {
            let source = fs::read_to_string(root().join(file)).unwrap();
            let found = source.matches(&lines).count();
            assert_eq!(found, 1, "{name}: in {file}, looked for:\n{lines}");
        }
    }
}

#[test]
fn every_mutation_says_what_it_breaks_and_which_tests_are_to_notice() {
    let readme = fs::read_to_string(root().join("tests/mutations/README.md")).unwrap();
    for (name, patch) in mutations() {
        let (told, _) = patch.split_once("\n\n").unwrap();
        assert!(told.lines().any(|line| line.ends_with('.')), "{name}");
        let runs: Vec<_> = told
            .lines()
            .filter_map(|line| line.strip_prefix("Run: "))
            .collect();
        let is_known = |run: &&str| run.starts_with("--lib ") || run.starts_with("--test suites ");
        assert!(
            !runs.is_empty() && runs.iter().all(is_known),
            "{name}: {runs:?}"
        );
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
    }
}
