//! Each command has a help with examples, and each example is a command line that this program takes.

use clap::{Command, CommandFactory};
use ovstunnelctl::cli::Cli;

/// Each command with the words that lead to it; not those that only have others below them.
fn commands(command: &Command, path: &[String], found: &mut Vec<(Vec<String>, String)>) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let path = [path, &[sub.get_name().to_owned()]].concat();
        match sub.has_subcommands() {
            true => commands(sub, &path, found),
            false => found.push((path, sub.get_after_help().map(ToString::to_string).unwrap_or_default())),
        }
    }
}

/// The lines of an example's command, as a shell would split them; without what comes before and behind it in a pipe.
fn line(example: &str) -> Option<Vec<String>> {
    let example = example.replace("<(", " ").replace(')', " ");
    let part = example.split(['|', '>', '<']).find(|part| part.contains("ovstunnelctl "))?.to_owned();
    let words = shlex::split(&part)?;
    let start = words.iter().position(|word| word == "ovstunnelctl")?;
    Some(words[start..].to_vec())
}

#[test]
fn each_command_has_examples_that_can_be_typed() {
    let mut found = Vec::new();
    commands(&Cli::command(), &[], &mut found);
    assert!(found.len() > 20, "{found:?}");
    let mut without = Vec::new();
    for (path, help) in &found {
        let own = |line: &Vec<String>| path.iter().all(|word| line.contains(word));
        let examples: Vec<Vec<String>> = help.lines().filter(|line| line.starts_with("  ")).filter_map(line).collect();
        if !help.contains("Example") || !examples.iter().any(own) {
            without.push(path.join(" "));
        }
        for example in examples {
            if let Err(error) = Cli::command().try_get_matches_from(&example) {
                panic!("{path:?}: {example:?}: {error}");
            }
        }
    }
    assert!(without.is_empty(), "without an example of its own: {without:?}");
}
