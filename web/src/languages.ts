/** What the highlighter knows of languages: their comments, strings and words. */

/** A language as the scanner reads it. */
export interface Language {
  /** Signs that begin a comment up to the end of the line. */
  line?: string[];
  /** Signs around a comment. */
  block?: [string, string][];
  /** Signs around a text; those of several lines first. */
  strings?: { sign: string; lines?: boolean; raw?: boolean }[];
  keywords?: Set<string>;
  /** Words such as `true`. */
  constants?: Set<string>;
  /** Keywords may be written in either case. */
  anyCase?: boolean;
  /** Signs before a word that belongs to the compiler or the shell: `@`, `#`, `$`. */
  marks?: string;
  /** A name before this sign is a key. */
  key?: string;
  /** Words may contain a hyphen. */
  hyphens?: boolean;
  /** Words in capitals at their beginning are types. */
  types?: boolean;
  /** `'` begins a text only if one letter follows; else it is a lifetime. */
  characters?: boolean;
  /** Read by rules of its own. */
  form?: "markup" | "diff";
}

const words = (text: string): Set<string> => new Set(text.split(" "));
const C_COMMENTS = { line: ["//"], block: [["/*", "*/"]] as [string, string][] };
const QUOTES = [{ sign: '"' }, { sign: "'" }];
const BOOLEANS = words("true false null");

const javascript: Language = {
  ...C_COMMENTS,
  strings: [{ sign: "`", lines: true }, ...QUOTES],
  keywords: words(
    "abstract as async await break case catch class const continue debugger declare default delete do else enum export extends finally for from function get if implements import in infer instanceof interface is keyof let namespace new of override private protected public readonly return satisfies set static super switch this throw try type typeof var void while with yield any boolean never number object string symbol unknown",
  ),
  constants: words("true false null undefined NaN Infinity"),
  marks: "@#",
  types: true,
};

const python: Language = {
  line: ["#"],
  strings: [{ sign: '"""', lines: true }, { sign: "'''", lines: true }, ...QUOTES],
  keywords: words(
    "and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return try while with yield",
  ),
  constants: words("True False None self cls"),
  marks: "@",
  types: true,
};

const rust: Language = {
  ...C_COMMENTS,
  strings: [{ sign: '"', lines: true }],
  keywords: words(
    "as async await break const continue crate dyn else enum extern fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait type unsafe use where while bool char f32 f64 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize",
  ),
  constants: words("true false None Some Ok Err"),
  marks: "#",
  types: true,
  characters: true,
};

const c: Language = {
  ...C_COMMENTS,
  strings: QUOTES,
  keywords: words(
    "alignas alignof auto bool break case catch char class concept const consteval constexpr continue co_await co_return co_yield decltype default delete do double else enum explicit export extern final float for friend goto if inline int long mutable namespace new noexcept operator override private protected public register requires return short signed sizeof static struct switch template this throw try typedef typename union unsigned using virtual void volatile while",
  ),
  constants: words("true false NULL nullptr"),
  marks: "#",
  types: true,
};

const java: Language = {
  ...C_COMMENTS,
  strings: [{ sign: '"""', lines: true }, ...QUOTES],
  keywords: words(
    "abstract actual as async await base bool boolean break by byte case catch char class companion const continue data decimal default defer delegate do double else enum event expect explicit extends extension extern final finally fixed float for foreach fun func function get global goto guard if implements implicit import in init inline inout int interface internal is lateinit let lock long match mutating namespace native new object open operator out override package params partial private protected protocol public readonly record ref return sealed set short sizeof static string struct super suspend switch this throw throws trait transient try typealias typeof uint unsafe using val var virtual void volatile when where while with yield",
  ),
  constants: words("true false null nil self it"),
  marks: "@#",
  types: true,
};

const go: Language = {
  ...C_COMMENTS,
  strings: [{ sign: "`", lines: true, raw: true }, ...QUOTES],
  keywords: words(
    "any bool break byte case chan complex128 const continue default defer else error fallthrough float32 float64 for func go goto if import int int16 int32 int64 int8 interface map package range return rune select string struct switch type uint uint16 uint32 uint64 uint8 uintptr var",
  ),
  constants: words("true false nil iota"),
  types: true,
};

const php: Language = {
  line: ["//", "#"],
  block: [["/*", "*/"]],
  strings: QUOTES,
  keywords: words(
    "abstract and array as break callable case catch class clone const continue declare default do echo else elseif empty enum extends final finally fn for foreach function global goto if implements include instanceof insteadof interface isset list match namespace new or print private protected public readonly require require_once return static switch throw trait try unset use var while xor yield int float string bool void",
  ),
  constants: BOOLEANS,
  marks: "$@",
  types: true,
};

const ruby: Language = {
  line: ["#"],
  strings: QUOTES,
  keywords: words(
    "alias and begin break case class def defined? do else elsif end ensure extend for if in include loop module next not or private protected public raise redo require require_relative rescue retry return self super then undef unless until when while yield attr_accessor attr_reader lambda proc puts",
  ),
  constants: words("true false nil"),
  marks: "@:$",
  types: true,
};

const shell: Language = {
  line: ["#"],
  strings: [{ sign: '"', lines: true }, { sign: "'", lines: true, raw: true }],
  keywords: words("if then else elif fi for while until do done case esac in function return export local readonly declare unset set source alias exit break continue sudo echo cd"),
  constants: words("true false"),
  marks: "$",
  hyphens: true,
};

const sql: Language = {
  line: ["--"],
  block: [["/*", "*/"]],
  strings: QUOTES,
  keywords: words(
    "add all alter and any as asc begin between by cascade case check column commit constraint create cross database default delete desc distinct drop else end except exists foreign from full group having if in index inner insert intersect into is join key left like limit not offset on or order outer over partition primary references returning right rollback row select set table then transaction union unique update using values view when where window with bigint boolean char date decimal float int integer numeric real serial smallint text timestamp varchar",
  ),
  constants: words("true false null"),
  anyCase: true,
};

const lua: Language = {
  line: ["--"],
  block: [["--[[", "]]"]],
  strings: [{ sign: "[[", lines: true, raw: true }, ...QUOTES],
  keywords: words("and break do else elseif end for function goto if in local not or repeat return then until while"),
  constants: words("true false nil self"),
};

const haskell: Language = {
  line: ["--"],
  block: [["{-", "-}"]],
  strings: [{ sign: '"' }],
  keywords: words("as case class data default deriving do else family forall foreign hiding if import in infix infixl infixr instance let module newtype of qualified then type where"),
  constants: words("True False Nothing Just"),
  types: true,
  characters: true,
};

const json: Language = { ...C_COMMENTS, strings: QUOTES, constants: BOOLEANS, key: ":" };
const yaml: Language = { line: ["#"], strings: QUOTES, constants: words("true false null yes no on off"), key: ":", hyphens: true };
const toml: Language = { line: ["#", ";"], strings: [{ sign: '"""', lines: true }, ...QUOTES], constants: BOOLEANS, key: "=", hyphens: true };
const css: Language = { block: [["/*", "*/"]], strings: QUOTES, marks: "@#.$", key: ":", hyphens: true };
const scss: Language = { ...css, line: ["//"] };
const docker: Language = {
  line: ["#"],
  strings: QUOTES,
  keywords: words("add arg cmd copy entrypoint env expose from healthcheck label maintainer onbuild run shell stopsignal user volume workdir as"),
  anyCase: true,
  marks: "$",
  hyphens: true,
};
const make: Language = { line: ["#"], strings: QUOTES, keywords: words("ifeq ifneq ifdef ifndef else endif include define endef export"), marks: "$", hyphens: true };
const markup: Language = { form: "markup" };
const diff: Language = { form: "diff" };

/** Languages with the names under which models write them; the first is what a person reads. */
const NAMES: [Language, ...string[]][] = [
  [javascript, "JavaScript", "js", "mjs", "cjs", "node"],
  [javascript, "TypeScript", "ts", "mts"],
  [javascript, "JSX"],
  [javascript, "TSX"],
  [python, "Python", "py", "python3", "pycon"],
  [rust, "Rust", "rs"],
  [c, "C", "h"],
  [c, "C++", "cpp", "cc", "cxx", "hpp", "arduino", "ino"],
  [java, "C#", "csharp", "cs"],
  [java, "Java"],
  [java, "Kotlin", "kt", "kts"],
  [java, "Swift"],
  [java, "Scala"],
  [java, "Dart"],
  [java, "Groovy", "gradle"],
  [go, "Go", "golang"],
  [php, "PHP"],
  [ruby, "Ruby", "rb"],
  [python, "Elixir", "ex", "exs"],
  [python, "R"],
  [python, "Julia", "jl"],
  [ruby, "Perl", "pl"],
  [lua, "Lua"],
  [haskell, "Haskell", "hs"],
  [shell, "Shell", "bash", "sh", "zsh", "fish", "console", "shellsession", "terminal"],
  [shell, "PowerShell", "ps1", "pwsh"],
  [sql, "SQL", "mysql", "postgresql", "postgres", "sqlite"],
  [json, "JSON", "jsonc", "json5", "jsonl"],
  [yaml, "YAML", "yml"],
  [toml, "TOML"],
  [toml, "INI", "cfg", "conf", "properties", "dotenv"],
  [css, "CSS"],
  [scss, "SCSS", "sass", "less"],
  [markup, "HTML", "htm", "vue", "svelte"],
  [markup, "XML", "svg", "xhtml", "plist"],
  [diff, "Diff", "patch"],
  [docker, "Dockerfile", "docker", "containerfile"],
  [make, "Makefile", "make", "mk"],
];

const KNOWN = new Map(NAMES.flatMap(([language, ...names]) => names.map((name) => [name.toLowerCase(), language] as const)));

/** The language of this name, if it is known. */
export function languageNamed(name: string): Language | undefined {
  return KNOWN.get(name.toLowerCase());
}
