//! What was run, how it went and how long it took: one sum at the end, whatever failed on the way.

use std::collections::VecDeque;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process;
use crate::tally::Tally;

/// The steps of a run so far.
#[derive(Debug, Default)]
pub struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    tally: Tally,
    took: Duration,
    problem: Option<String>,
    /// The last lines of a suite that failed: most runners name the failed tests there.
    last: Vec<String>,
}

/// How many lines of a failed suite the summary repeats: logs are often cut to their end.
const LAST_LINES: usize = 20;

impl Report {
    /// Runs a command that either holds or does not: one test, passed or failed.
    pub fn check(&mut self, name: &str, command: &mut Command) {
        self.step(name, || {
            println!("$ {}", process::spell(command));
            process::run(command)
        });
    }

    /// Does what the tests need; only its failure counts.
    pub fn requirement(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let Err(error) = work() else { return };
        println!("FAILED     {error:#}");
        self.steps.push(Step {
            name: name.to_owned(),
            tally: Tally { failed: 1, ..Tally::default() },
            took: start.elapsed(),
            problem: Some(format!("{error:#}")),
            last: Vec::new(),
        });
    }

    /// Runs a piece of work that counts as one test.
    pub fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = work();
        let (tally, problem) = match outcome {
            Ok(()) => (Tally { passed: 1, ..Tally::default() }, None),
            Err(error) => (Tally { failed: 1, ..Tally::default() }, Some(format!("{error:#}"))),
        };
        if let Some(problem) = &problem {
            println!("{name}: {problem}");
        }
        self.steps.push(Step {
            name: name.to_owned(),
            tally,
            took: start.elapsed(),
            problem,
            last: Vec::new(),
        });
    }

    /// Runs a test runner and adds what it counts. A runner that cannot be made or started, that
    /// fails without naming a failed test (it did not build), or that runs no test at all, counts as
    /// one failure.
    pub fn suite(&mut self, name: &str, runner: impl FnOnce() -> Result<Command>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let mut tally = Tally::default();
        let mut last = VecDeque::new();
        let read = |line: &str| {
            tally.read_line(line);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line.to_owned());
        };
        let problem = match run_suite(runner, read) {
            Err(error) => Some(format!("{error:#}")),
            Ok(()) if tally.is_empty() => Some("it ran no test".to_owned()),
            Ok(()) => None,
        };
        if problem.is_some() && tally.failed == 0 {
            tally.failed = 1;
        }
        let took = start.elapsed();
        let last = if problem.is_some() { last.into() } else { Vec::new() };
        self.steps.push(Step { name: name.to_owned(), tally, took, problem, last });
    }

    /// Prints every step's result and, alone on the last line, the sum; the exit code says the same.
    pub fn finish(self) -> ExitCode {
        println!("\n=== summary");
        let mut sum = Tally::default();
        for step in &self.steps {
            println!("{:7.1} s  {:32} {}", step.took.as_secs_f64(), step.name, step.tally);
            sum += step.tally;
        }
        for step in &self.steps {
            if let Some(problem) = &step.problem {
                println!("FAILED {}: {problem}", step.name);
            }
            for line in &step.last {
                println!("    {line}");
            }
        }
        println!("{sum}");
        if sum.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn run_suite(runner: impl FnOnce() -> Result<Command>, read: impl FnMut(&str)) -> Result<()> {
    let mut command = runner()?;
    println!("$ {}", process::spell(&command));
    if !process::watch(&mut command, read)? {
        bail!("{} failed", process::spell(&command));
    }
    Ok(())
}
