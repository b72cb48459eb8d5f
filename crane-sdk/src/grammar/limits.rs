//! How much a grammar may hold, so that compiling and following it has a known end.

/// The size of a grammar that a [`Compiler`](super::Compiler) takes. What is over a limit is refused with the limit's name.
///
/// The defaults keep one compilation below a second and 256 MiB, and all of it within the stack that it runs on: a thread of
/// its own on native targets, the page's or worker's own in WebAssembly, where the limits are lower for that reason.
/// Schemas and grammars that people write are far below them: 2,000 properties, 60 tools of 20 fields, an enumeration of 10,000
/// values pass.
///
/// ```
/// use crane_sdk::grammar::Limits;
///
/// let narrow = Limits { properties: 100, ..Limits::default() };
/// assert!(narrow.properties < Limits::default().properties);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the stack that a compilation runs on: of a thread of its own on native targets; in WebAssembly there is one stack,
    /// whose size the linker knows. [`Limits::of_stack`] has the limits of depth that fit.
    pub stack: usize,
    /// Bytes of text: the grammar, the regular expression, or all names and strings of the schema.
    pub bytes: usize,
    /// Levels of nesting: JSON inside JSON, schema inside schema, brackets inside brackets.
    pub depth: usize,
    /// Properties of one object of a schema, those that are only `required` included.
    pub properties: usize,
    /// Rules, terminals, strings and regular expressions of a Lark grammar.
    pub rules: usize,
    /// Grammars and schemas inside a Lark grammar (`%lark`, `%json`); each tool is one.
    pub grammars: usize,
    /// Rules or terminals of a Lark grammar that refer to one another in a chain or a circle, with the brackets on
    /// the way; levels of a schema when references are followed.
    pub chain: usize,
    /// Bytes of one regular expression (`pattern` in a schema).
    pub pattern_bytes: usize,
    /// Steps of reading a grammar: about one for each node of a schema, each time it is copied by `allOf`, `anyOf`, `oneOf` or
    /// `$ref` beside other keywords, and for each byte of a regular expression.
    pub steps: u64,
    /// Symbols of the compiled grammar.
    pub symbols: usize,
    /// What may come next at one place of a reply: an optional property that may come counts four.
    pub row_items: usize,
    /// Steps of making the lexer, which finds strings, numbers and patterns in a reply.
    pub lexer_steps: u64,
    /// Lexer steps of one token of a reply.
    pub token_steps: u64,
    /// Lexer steps of all tokens of a reply together, which bound the memory that its lexer grows to.
    pub reply_steps: u64,
    /// States that the lexer of a reply may have.
    pub lexer_states: usize,
}

impl Limits {
    /// For a compilation that runs on a stack of so many bytes.
    pub const fn of_stack(bytes: usize) -> Self {
        // Half is for what calls the compiler, and for frames that are larger than those that were measured.
        let half = bytes / 2;
        Self {
            stack: bytes,
            bytes: 1 << 20,
            depth: least(half / FRAME_OF_LEVEL, 128),
            properties: least(half / FRAME_OF_PROPERTY, 5_000),
            rules: 20_000,
            grammars: 200,
            chain: least(half / FRAME_OF_RULE, 1_000),
            pattern_bytes: 16 << 10,
            steps: 500_000,
            symbols: 60_000,
            row_items: 10_000,
            lexer_steps: 1_000_000,
            token_steps: 200_000,
            reply_steps: 20_000_000,
            lexer_states: 50_000,
        }
    }
}

/// Stack that one level takes, in bytes, at most: of nested schemas, of properties in a row, of rules in a chain.
const FRAME_OF_LEVEL: usize = 8 << 10;
const FRAME_OF_PROPERTY: usize = 1 << 10;
const FRAME_OF_RULE: usize = 6 << 10;

const fn least(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

/// The stack that a compilation runs on: a thread's own, of which only what is used takes memory.
#[cfg(not(target_arch = "wasm32"))]
const STACK: usize = 64 << 20;
/// The stack that the linker gives a module of WebAssembly.
#[cfg(target_arch = "wasm32")]
const STACK: usize = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self::of_stack(STACK)
    }
}
