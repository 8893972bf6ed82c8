//! What a page says to type, and what it says comes of it.

use std::path::Path;

/// The languages of blocks that hold commands: alone, or with what they answer.
const COMMANDS: &str = "sh";
const TRANSCRIPT: &str = "console";
/// What a line of a transcript begins with that is typed.
const PROMPT: &str = "$ ";
/// What a block of another language must not have at the beginning of a line.
const PROGRAMS: [&str; 7] = [
    "rollcall ",
    "cargo ",
    "sam ",
    "aws ",
    "python3 ",
    "infra/",
    PROMPT,
];

pub(super) struct Page {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) blocks: Vec<Block>,
    /// What is in blocks of TOML.
    pub(super) settings: Vec<String>,
}

pub(super) struct Block {
    /// What happens before it.
    pub(super) stage: Vec<String>,
    pub(super) commands: Vec<Typed>,
}

pub(super) struct Typed {
    /// In the page, from 1.
    pub(super) line: usize,
    pub(super) command: String,
    pub(super) exit: i32,
    /// What the page says that the command answers; `None` if it says nothing of it.
    pub(super) said: Option<Vec<String>>,
}

/// The directions of the comments before a block.
#[derive(Default)]
struct Directions {
    stage: Vec<String>,
    exits: Vec<i32>,
}

impl Page {
    pub(super) fn read(root: &Path, name: &str) -> Self {
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let (mut blocks, mut settings) = (Vec::new(), Vec::new());
        let mut directions = Directions::default();
        let mut lines = (1..).zip(text.lines());
        while let Some((line, content)) = lines.next() {
            directions.note(content);
            let Some(language) = content.trim_start().strip_prefix("```") else {
                continue;
            };
            let inside: Vec<_> = lines
                .by_ref()
                .map(|(line, it)| (line, it.trim_end()))
                .take_while(|(_, it)| it.trim_start() != "```")
                .collect();
            let directed = std::mem::take(&mut directions);
            let commands = match language {
                COMMANDS => typed(&inside),
                TRANSCRIPT => transcript(&inside),
                _ => {
                    let typed = inside
                        .iter()
                        .find(|(_, it)| PROGRAMS.iter().any(|program| it.starts_with(program)));
                    assert!(
                        typed.is_none(),
                        "{name}: a command that is not marked: {typed:?}"
                    );
                    if language == "toml" {
                        let text: Vec<_> = inside.iter().map(|(_, it)| *it).collect();
                        settings.push(text.join("\n"));
                    }
                    continue;
                }
            };
            assert!(
                !commands.is_empty(),
                "{name}:{line}: a block without a command"
            );
            blocks.push(directed.block(commands));
        }
        let name = name.to_owned();
        Self {
            name,
            text,
            blocks,
            settings,
        }
    }
}

impl Directions {
    fn note(&mut self, line: &str) {
        let comment = |kind| line.strip_prefix(kind)?.strip_suffix("-->");
        if let Some(steps) = comment("<!-- stage: ") {
            self.stage
                .extend(steps.split(';').map(|it| it.trim().to_owned()));
        }
        if let Some(codes) = comment("<!-- exits: ") {
            self.exits = codes
                .split_whitespace()
                .map(|it| it.parse().unwrap())
                .collect();
        }
    }

    fn block(self, mut commands: Vec<Typed>) -> Block {
        for (command, exit) in commands.iter_mut().zip(self.exits) {
            command.exit = exit;
        }
        Block {
            stage: self.stage,
            commands,
        }
    }
}

fn command(line: usize, text: &str, said: Option<Vec<String>>) -> Typed {
    let text = text.split(" # ").next().unwrap_or(text).trim().to_owned();
    Typed {
        line,
        command: text,
        exit: 0,
        said,
    }
}

/// A command a line; one that ends with a backslash goes on in the next.
fn typed(lines: &[(usize, &str)]) -> Vec<Typed> {
    let (mut all, mut begun) = (Vec::new(), String::new());
    for (line, text) in lines {
        let text = text.trim();
        if let Some(more) = text.strip_suffix('\\') {
            begun.push_str(more);
        } else if !text.is_empty() && !text.starts_with('#') {
            begun.push_str(text);
            all.push(command(*line, &std::mem::take(&mut begun), None));
        }
    }
    assert!(begun.is_empty(), "a command without an end: {begun}");
    all
}

fn transcript(lines: &[(usize, &str)]) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for (line, text) in lines {
        match (text.strip_prefix(PROMPT), all.last_mut()) {
            (Some(typed), _) => all.push(command(*line, typed, Some(Vec::new()))),
            (
                None,
                Some(Typed {
                    said: Some(said), ..
                }),
            ) => said.push((*text).to_owned()),
            (None, _) => panic!("line {line}: an answer to nothing: {text}"),
        }
    }
    all
}
