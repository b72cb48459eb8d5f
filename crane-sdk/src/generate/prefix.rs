//! Beginnings that were evaluated once, kept for every session that begins alike.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::kernels::attention::BLOCK;
use crate::models::CausalLm;
use crate::nn::KvPage;

/// Who may share a prefix: prompts find only what was left under an equal salt.
///
/// How many tokens of a prompt were cached, and how soon its reply begins, tells what others have asked. Where those who
/// ask must not learn that of each other, their prompts get salts that differ. A salt is the same as another if it was made
/// of the same parts in the same order; the default is the salt of everybody.
///
/// ```
/// use crane_sdk::generate::PrefixSalt;
///
/// let ann = PrefixSalt::default().with("user", "ann");
/// assert_eq!(ann, PrefixSalt::default().with("user", "ann"));
/// assert_ne!(ann, PrefixSalt::default().with("key", "ann"));
/// assert_ne!(ann, PrefixSalt::default());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PrefixSalt(Arc<str>);

impl PrefixSalt {
    /// This salt with a further part: a key's number, a user, an adapter.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        // Lengths keep parts apart, whatever they hold.
        Self(format!("{}{name}={}:{value};", self.0, value.len()).into())
    }
}

/// The keys and values of tokens that sessions of one model have evaluated: a tree of pages for each [salt](PrefixSalt), in
/// which prompts share what they have in common.
///
/// A session [leaves](super::Session::leave_prefix) its pages here and another one [takes](super::Session::take_prefix)
/// them; both, and this, then hold the same memory, until one of them writes to a page and gets its own. It grows until
/// it is [trimmed](PrefixCache::trim). On a GPU caches have no pages, and nothing is kept.
///
/// ```
/// use std::sync::Arc;
///
/// use crane_sdk::generate::{CancelToken, GenerationConfig, PrefixCache, PrefixSalt, Session};
/// use crane_sdk::models::{LoadOptions, load};
/// use crane_sdk::sample::SamplingParams;
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"));
///
/// let model = load(&source, &LoadOptions::default())?.model;
/// let mut prefixes = PrefixCache::new(model.clone());
/// let everybody = PrefixSalt::default();
/// let sampling = SamplingParams::greedy();
/// let config = GenerationConfig { sampling, max_new_tokens: Some(4), ..GenerationConfig::default() };
/// let (prompt, cancel) = (Vec::from_iter(1..100), CancelToken::new());
///
/// let mut first = Session::without_text(model.clone(), 512)?;
/// let output = first.generate(&prompt, &config, &cancel)?.complete()?;
/// assert!(first.leave_prefix(&mut prefixes, &everybody));
///
/// let mut second = Session::without_text(model, 512)?;
/// assert_eq!(second.take_prefix(&mut prefixes, &everybody.with("user", "ann"), &prompt), 0);
/// assert_eq!(second.take_prefix(&mut prefixes, &everybody, &prompt), 98);
/// assert_eq!(second.generate(&prompt, &config, &cancel)?.complete()?.ids, output.ids);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
pub struct PrefixCache {
    model: Arc<dyn CausalLm>,
    nodes: Vec<Option<Node>>,
    /// Places in `nodes` that hold none.
    free: Vec<usize>,
    /// Pages at the beginning of a prompt, by salt; none of the lists is empty.
    roots: HashMap<PrefixSalt, Vec<usize>>,
    /// Counts uses: tells which of two came first.
    clock: u64,
}

/// A page, and the pages that follow it.
struct Node {
    /// As many as a page holds, or fewer where nothing follows.
    tokens: Vec<u32>,
    page: KvPage,
    parent: Parent,
    children: Vec<usize>,
    used: u64,
}

/// What a page follows.
#[derive(Clone)]
enum Parent {
    /// Nothing: it begins the prompts of a salt.
    Salt(PrefixSalt),
    /// Another page.
    Page(usize),
}

/// How many tokens both begin with.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl PrefixCache {
    /// Without any pages.
    pub fn new(model: Arc<dyn CausalLm>) -> Self {
        Self { model, nodes: Vec::new(), free: Vec::new(), roots: HashMap::new(), clock: 0 }
    }

    /// Whether the model's caches have pages: on the CPU.
    pub fn can_hold(&self) -> bool {
        self.model.device().is_cpu()
    }

    /// How many pages it holds, of [`BLOCK`] tokens each; sessions may hold some of them too.
    pub fn pages(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// How many of these tokens, from the first one on, need not be evaluated by who has this salt.
    pub fn longest(&self, salt: &PrefixSalt, tokens: &[u32]) -> usize {
        self.path(salt, tokens).iter().map(|(_, tokens)| tokens).sum()
    }

    /// Gives up the pages that were used longest ago until it holds no more than `most`, or only such as sessions hold
    /// too: to give those up would free nothing.
    pub fn trim(&mut self, most: usize) {
        while self.pages() > most {
            let leaves = self.nodes.iter().enumerate().filter_map(|(index, node)| {
                let node = node.as_ref()?;
                let leaf = node.children.is_empty() && !node.page.is_shared();
                leaf.then_some((node.used, index))
            });
            let Some((_, index)) = leaves.min() else { return };
            self.remove(index);
        }
    }

    pub(super) fn is_of(&self, model: &Arc<dyn CausalLm>) -> bool {
        Arc::ptr_eq(&self.model, model)
    }

    /// The pages of the longest beginning of these tokens, and how many tokens that is.
    pub(super) fn find(&mut self, salt: &PrefixSalt, tokens: &[u32]) -> (usize, Vec<KvPage>) {
        let path = self.path(salt, tokens);
        self.clock += 1;
        let mut pages = Vec::with_capacity(path.len());
        for (index, _) in &path {
            if let Some(Some(node)) = self.nodes.get_mut(*index) {
                node.used = self.clock;
                pages.push(node.page.clone());
            }
        }
        (path.iter().map(|(_, tokens)| tokens).sum(), pages)
    }

    /// Keeps tokens that were evaluated; `page` gives a page by its number, where it is not here yet. Returns whether
    /// all of them are here.
    pub(super) fn keep(
        &mut self,
        salt: &PrefixSalt,
        tokens: &[u32],
        page: impl Fn(usize) -> Option<KvPage>,
    ) -> bool {
        self.clock += 1;
        let mut parent = Parent::Salt(salt.clone());
        for (number, tokens) in tokens.chunks(BLOCK).enumerate() {
            let index = match self.child(&parent, tokens) {
                // A page with these tokens, or with more.
                Some((index, same)) if same == tokens.len() => index,
                // One that ends where these go on.
                Some((index, same)) if self.tokens(index).len() == same => {
                    let Some(page) = page(number) else { return false };
                    if let Some(Some(node)) = self.nodes.get_mut(index) {
                        (node.tokens, node.page) = (tokens.to_vec(), page);
                    }
                    index
                }
                _ => {
                    let Some(page) = page(number) else { return false };
                    self.add(parent.clone(), tokens, page)
                }
            };
            if let Some(Some(node)) = self.nodes.get_mut(index) {
                node.used = self.clock;
            }
            parent = Parent::Page(index);
        }
        true
    }

    fn tokens(&self, index: usize) -> &[u32] {
        self.nodes.get(index).and_then(Option::as_ref).map_or(&[], |node| node.tokens.as_slice())
    }

    fn children(&self, parent: &Parent) -> &[usize] {
        match parent {
            Parent::Salt(salt) => self.roots.get(salt).map_or(&[], Vec::as_slice),
            Parent::Page(index) => {
                let node = self.nodes.get(*index).and_then(Option::as_ref);
                node.map_or(&[], |node| &node.children)
            }
        }
    }

    /// The page behind `parent` that has most of these tokens, and how many.
    fn child(&self, parent: &Parent, tokens: &[u32]) -> Option<(usize, usize)> {
        let same = |&index: &usize| (index, common(self.tokens(index), tokens));
        self.children(parent)
            .iter()
            .map(same)
            .filter(|(_, same)| *same > 0)
            .max_by_key(|(_, same)| *same)
    }

    /// The pages that hold the longest beginning of these tokens, with how many of its tokens each.
    fn path(&self, salt: &PrefixSalt, tokens: &[u32]) -> Vec<(usize, usize)> {
        let (mut path, mut parent) = (Vec::new(), Parent::Salt(salt.clone()));
        for tokens in tokens.chunks(BLOCK) {
            let Some((index, same)) = self.child(&parent, tokens) else { break };
            path.push((index, same));
            if same < BLOCK {
                break;
            }
            parent = Parent::Page(index);
        }
        path
    }

    fn add(&mut self, parent: Parent, tokens: &[u32], page: KvPage) -> usize {
        let (tokens, children) = (tokens.to_vec(), Vec::new());
        let node = Node { tokens, page, parent: parent.clone(), children, used: 0 };
        let index = match self.free.pop() {
            Some(index) => {
                self.nodes[index] = Some(node);
                index
            }
            None => {
                self.nodes.push(Some(node));
                self.nodes.len() - 1
            }
        };
        match parent {
            Parent::Salt(salt) => self.roots.entry(salt).or_default().push(index),
            Parent::Page(parent) => {
                if let Some(Some(parent)) = self.nodes.get_mut(parent) {
                    parent.children.push(index);
                }
            }
        }
        index
    }

    fn remove(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index).and_then(Option::take) else { return };
        self.free.push(index);
        match node.parent {
            Parent::Page(parent) => {
                if let Some(Some(parent)) = self.nodes.get_mut(parent) {
                    parent.children.retain(|child| *child != index);
                }
            }
            Parent::Salt(salt) => {
                if let Some(roots) = self.roots.get_mut(&salt) {
                    roots.retain(|root| *root != index);
                    if roots.is_empty() {
                        self.roots.remove(&salt);
                    }
                }
            }
        }
    }
}

impl fmt::Debug for PrefixCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixCache").field("pages", &self.pages()).finish_non_exhaustive()
    }
}
