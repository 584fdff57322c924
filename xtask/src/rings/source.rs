//! What one Rust file says of modules: those it declares, what it defines, imports and names.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Kind, Token, tokens};

/// A module as it is written, in a file of its own or between braces in that of its parent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// `mod name;`
    pub(super) declared: BTreeSet<String>,
    /// `mod name { … }`
    pub(super) inline: BTreeMap<String, Source>,
    /// Types, functions, constants and macros by name.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// Paths of more than one segment in code, with their lines.
    pub(super) paths: Vec<(Vec<String>, usize)>,
    /// Every name that stands alone or begins a path in code, with its first line.
    pub(super) names: BTreeMap<String, usize>,
}

/// One leaf of a `use` declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) path: Vec<String>,
    /// What it is called here; `_` and `*` are names of nothing.
    pub(super) name: String,
    /// Whether others see it too: then it may be a re-export that nothing in this file uses.
    pub(super) is_visible: bool,
    pub(super) line: usize,
}

/// Reads a file. Whatever is for tests alone (`#[cfg(test)]`, `#[test]`) is passed over.
pub(super) fn read(text: &str) -> Source {
    let mut source = Source::default();
    items(&tokens(text), &mut source);
    source
}

/// Reads the items of a module.
fn items(mut rest: &[Token<'_>], source: &mut Source) {
    while !rest.is_empty() {
        let (is_for_tests, behind) = attributes(rest);
        let (item, behind) = split(behind, length_of_item(behind));
        rest = behind;
        if !is_for_tests {
            self::item(item, source);
        }
    }
}

fn item(item: &[Token<'_>], source: &mut Source) {
    let (is_visible, item) = visibility(item);
    match item {
        [keyword, tree @ ..] if keyword.is_word("use") => {
            imports(tree, Vec::new(), is_visible, &mut source.imports);
        }
        [keyword, name, rest @ ..] if keyword.is_word("mod") => {
            let name = name.word().unwrap_or_default().to_owned();
            if let [open, body @ .., _close] = rest
                && open.is('{')
            {
                items(body, source.inline.entry(name).or_default());
            } else {
                source.declared.insert(name);
            }
        }
        _ => {
            source.items.extend(name_of_item(item).map(str::to_owned));
            code(item, source);
        }
    }
}

/// Passes over attributes; whether one of them says that what follows is for tests alone.
fn attributes<'t, 's>(mut rest: &'t [Token<'s>]) -> (bool, &'t [Token<'s>]) {
    let mut is_for_tests = false;
    while let Some(length) = length_of_attribute(rest) {
        let (attribute, behind) = split(rest, length);
        let words: Vec<&str> = attribute.iter().filter_map(|token| token.word()).collect();
        is_for_tests |= match words.first() {
            Some(&"cfg") => words.contains(&"test") && !words.contains(&"not"),
            Some(&"test") => true,
            _ => false,
        };
        rest = behind;
    }
    (is_for_tests, rest)
}

fn length_of_attribute(tokens: &[Token<'_>]) -> Option<usize> {
    let before = match tokens {
        [hash, open, ..] if hash.is('#') && open.is('[') => 1,
        [hash, bang, open, ..] if hash.is('#') && bang.is('!') && open.is('[') => 2,
        _ => return None,
    };
    Some(before + length_of_group(split(tokens, before).1))
}

/// Passes over `pub` and `pub(…)`.
fn visibility<'t, 's>(item: &'t [Token<'s>]) -> (bool, &'t [Token<'s>]) {
    match item {
        [public, rest @ ..] if public.is_word("pub") => match rest {
            [open, ..] if open.is('(') => (true, split(rest, length_of_group(rest)).1),
            _ => (true, rest),
        },
        _ => (false, item),
    }
}

/// Up to the `;` or the body in braces that ends an item. A value in braces (`const A: B = B { … };`) is no body.
fn length_of_item(tokens: &[Token<'_>]) -> usize {
    let ends_with_semicolon = tokens
        .iter()
        .take_while(|token| !token.is('{') && !token.is(';') && !token.is('('))
        .any(|token| token.is('=') || token.is_word("use"));
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let length = length_of_group(split(tokens, at).1);
        at += length;
        if token.is(';') || (token.is('{') && !ends_with_semicolon) {
            return at;
        }
    }
    tokens.len()
}

/// One token, or a bracket with all up to the one that closes it.
fn length_of_group(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Sign('(' | '[' | '{') => depth += 1,
            Kind::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            Kind::Word(_) | Kind::Colons | Kind::Sign(_) | Kind::Literal => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The name that an item gives to something in its module; an `impl` gives none.
fn name_of_item<'s>(item: &[Token<'s>]) -> Option<&'s str> {
    const NAMING: [&str; 8] = [
        "fn", "struct", "enum", "union", "trait", "type", "static", "const",
    ];
    let mut words = item.iter().map_while(|token| match token.kind {
        Kind::Word(word) => Some(Some(word)),
        // `extern "C"` and `macro_rules!`
        Kind::Literal | Kind::Sign('!') => Some(None),
        Kind::Colons | Kind::Sign(_) => None,
    });
    while let Some(word) = words.next() {
        match word {
            Some("impl") => return None,
            Some("macro_rules") => return words.flatten().next(),
            Some(word) if NAMING.contains(&word) => {
                let name = words.by_ref().flatten().find(|name| *name != "mut")?;
                // `const fn name`
                let is_keyword = ["fn", "unsafe", "async", "extern"].contains(&name);
                return if is_keyword {
                    words.flatten().find(|word| !NAMING.contains(word))
                } else {
                    Some(name)
                };
            }
            _ => {}
        }
    }
    None
}

/// Reads the leaves of a `use` tree.
fn imports(mut tree: &[Token<'_>], mut path: Vec<String>, is_visible: bool, found: &mut Vec<Import>) {
    let mut leaf = |path: &[String], name: &str, line: usize| {
        found.push(Import {
            path: path.to_vec(),
            name: name.to_owned(),
            is_visible,
            line,
        });
    };
    while let [first, rest @ ..] = tree {
        tree = rest;
        match first.kind {
            Kind::Colons => {}
            Kind::Sign('*') => leaf(&path, "*", first.line),
            Kind::Sign('{') => {
                let (group, _) = split(rest, length_of_group_behind(rest));
                for branch in branches(group) {
                    imports(branch, path.clone(), is_visible, found);
                }
                return;
            }
            Kind::Word(word) => {
                // `a::{self}` is `a`.
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                match rest {
                    [colons, ..] if colons.kind == Kind::Colons => {}
                    [keyword, name, ..] if keyword.is_word("as") => {
                        leaf(&path, name.word().unwrap_or("_"), first.line);
                        return;
                    }
                    _ => {
                        let name = path.last().cloned().unwrap_or_default();
                        leaf(&path, &name, first.line);
                        return;
                    }
                }
            }
            Kind::Sign(_) | Kind::Literal => return,
        }
    }
}

/// The tokens behind an open bracket, up to the one that closes it.
fn length_of_group_behind(tokens: &[Token<'_>]) -> usize {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if matches!(token.kind, Kind::Sign(')' | ']' | '}')) {
            return at;
        }
        at += length_of_group(split(tokens, at).1);
    }
    at
}

/// What commas divide, outside of brackets.
fn branches<'t, 's>(mut rest: &'t [Token<'s>]) -> Vec<&'t [Token<'s>]> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut at = 0;
        while rest.get(at).is_some_and(|token| !token.is(',')) {
            at += length_of_group(split(rest, at).1);
        }
        let (branch, behind) = split(rest, at);
        found.push(branch);
        rest = split(behind, 1).1;
    }
    found
}

/// Reads the paths and names of an item. A `use` inside of it counts as one of its module.
fn code(mut rest: &[Token<'_>], source: &mut Source) {
    let mut before: Option<Token<'_>> = None;
    while let [first, behind @ ..] = rest {
        let begins_statement = before.is_none_or(|before| before.is('{') || before.is('}') || before.is(';'));
        if length_of_attribute(rest).is_some() {
            let (is_for_tests, item) = attributes(rest);
            rest = if is_for_tests {
                split(item, length_of_item(item)).1
            } else {
                item
            };
            continue;
        }
        if first.is_word("use") && begins_statement {
            let (declaration, behind) = split(behind, length_of_item(rest) - 1);
            imports(declaration, Vec::new(), false, &mut source.imports);
            rest = behind;
            before = None;
            continue;
        }
        let is_member = before.is_some_and(|before| before.is('.'));
        let is_from_outside = before.is_some_and(|before| before.kind == Kind::Colons);
        rest = behind;
        before = Some(*first);
        let Some(word) = first.word().filter(|_| !is_member) else {
            continue;
        };
        let mut path = vec![word.to_owned()];
        while let [colons, segment, behind @ ..] = rest
            && colons.kind == Kind::Colons
            && let Some(word) = segment.word()
        {
            path.push(word.to_owned());
            (rest, before) = (behind, Some(*segment));
        }
        // `<A as B>::C` and `::a::b`
        if !is_from_outside {
            source.names.entry(word.to_owned()).or_insert(first.line);
            if path.len() > 1 {
                source.paths.push((path, first.line));
            }
        }
    }
}

fn split<'t, 's>(tokens: &'t [Token<'s>], at: usize) -> (&'t [Token<'s>], &'t [Token<'s>]) {
    tokens.split_at_checked(at).unwrap_or((tokens, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(text: &str) -> Vec<String> {
        let imports = read(text).imports.into_iter();
        imports
            .map(
                |Import {
                     path,
                     name,
                     is_visible,
                     line,
                 }| {
                    let visible = if is_visible { "pub " } else { "" };
                    format!("{line} {visible}{} as {name}", path.join("::"))
                },
            )
            .collect()
    }

    fn paths(text: &str) -> Vec<String> {
        let paths = read(text).paths.into_iter();
        paths
            .map(|(path, line)| format!("{line} {}", path.join("::")))
            .collect()
    }

    #[test]
    fn a_use_tree_is_read_to_its_leaves() {
        let text = "use crate::a::{self, b, c::{D, E as F}};\n\
                    pub(crate) use super::g::*;\n\
                    pub use h::I;\n\
                    use std::io::{Read as _,\n Write};\n\
                    fn j() { use self::k::L; }\n";
        assert_eq!(
            imported(text),
            [
                "1 crate::a as a",
                "1 crate::a::b as b",
                "1 crate::a::c::D as D",
                "1 crate::a::c::E as F",
                "2 pub super::g as *",
                "3 pub h::I as I",
                "4 std::io::Read as _",
                "5 std::io::Write as Write",
                "6 self::k::L as L",
            ]
        );
    }

    #[test]
    fn items_are_found_by_their_names() {
        let text = "pub(crate) struct A<T>(T);\nenum B { C }\npub const fn d() {}\nconst E: F = F { g: 1 };\n\
                    static mut H: [u8; 2] = [0; 2];\nimpl A<u8> { fn i() {} }\ntype J = K;\npub unsafe trait L {}\n\
                    macro_rules! m { () => {} }\nextern \"C\" fn n() {}\nconst _: () = ();\npub async fn o() {}\n\
                    mod p;\nmod q { fn r() {} }\nlater! { mod s; }\nstruct T;\n";
        let source = read(text);
        let items: Vec<&str> = source.items.iter().map(String::as_str).collect();
        assert_eq!(
            items,
            ["A", "B", "E", "H", "J", "L", "T", "_", "d", "m", "n", "o"]
        );
        assert_eq!(source.declared, BTreeSet::from(["p".to_owned()]));
        assert_eq!(source.inline["q"].items, BTreeSet::from(["r".to_owned()]));
    }

    #[test]
    fn paths_are_read_in_code_and_in_macros() {
        let text = "fn a(b: c::D<e::F>) -> g::H {\n  i.j::<k::L>();\n  m!(crate::n::o(), [p::Q { r: s::t }]);\n}\n\
                    impl u::V for super::W { const X: ::y::Z = <u8 as aa::Bb>::CC; }\n";
        assert_eq!(
            paths(text),
            [
                "1 c::D",
                "1 e::F",
                "1 g::H",
                "2 k::L",
                "3 crate::n::o",
                "3 p::Q",
                "3 s::t",
                "5 u::V",
                "5 super::W",
                "5 aa::Bb"
            ]
        );
    }

    #[test]
    fn test_code_is_skipped() {
        let text = "#[cfg(test)]\nmod tests { use crate::a::B; }\n#[cfg(test)]\nmod more;\n\
                    #[cfg(any(test, feature = \"testkit\"))]\npub fn c() { crate::d::e(); }\n\
                    #[derive(Debug)]\nstruct F { #[serde(default)] g: crate::h::I }\n\
                    impl F { #[cfg(test)] fn j() { crate::k::l() } fn m() { crate::n::o() } }\n\
                    #[cfg(not(test))]\nfn p() { crate::q::r() }\n";
        assert_eq!(paths(text), ["8 crate::h::I", "9 crate::n::o", "11 crate::q::r"]);
        let source = read(text);
        assert_eq!((source.imports, source.declared), (Vec::new(), BTreeSet::new()));
    }
}
