//! What a schema describes, as far as its size matters.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::Result;
use crate::grammar::budget::Budget;

/// What a schema describes, as far as its size matters.
#[derive(Clone)]
pub(super) enum Shape {
    Any,
    Never,
    /// null, boolean or number.
    Plain(u8),
    /// A string, with the ways that its patterns have.
    Text(u64),
    Array(Rc<Array>),
    Object(Rc<Object>),
    /// Options; all of them at once cannot hold if `one`.
    Options {
        options: Rc<Vec<Shape>>,
        size: u64,
        one: bool,
    },
    Ref(Rc<str>),
}

pub(super) struct Array {
    pub(super) prefix: Vec<Shape>,
    pub(super) items: Option<Shape>,
    pub(super) size: u64,
}

pub(super) struct Object {
    pub(super) properties: HashMap<Rc<str>, Shape>,
    pub(super) patterns: HashMap<Rc<str>, Shape>,
    pub(super) rest: Option<Shape>,
    pub(super) required: HashSet<Rc<str>>,
    pub(super) counted: bool,
    pub(super) size: u64,
}

impl Object {
    /// What a property may be at most.
    pub(super) fn property(&self, name: &str) -> Shape {
        if let Some(shape) = self.properties.get(name) {
            return shape.clone();
        }
        let others = self.patterns.values().chain(&self.rest);
        others.max_by_key(|shape| shape.size()).cloned().unwrap_or(Shape::Any)
    }
}

impl Shape {
    /// Nodes, and the work that they are later.
    pub(super) fn size(&self) -> u64 {
        match self {
            Shape::Any | Shape::Never | Shape::Plain(_) | Shape::Ref(_) | Shape::Text(1) => 1,
            Shape::Text(ways) => 32 + 4 * (*ways).min(2000),
            Shape::Array(array) => array.size,
            Shape::Object(object) => object.size,
            Shape::Options { size, .. } => *size,
        }
    }

    /// Options that are compared with others' to find out whether they exclude each other.
    pub(super) fn compared(&self) -> u64 {
        match self {
            Shape::Options { options, .. } => {
                options.iter().fold(1, |sum: u64, shape| sum.saturating_add(shape.compared()))
            }
            Shape::Object(object) => {
                let required =
                    object.required.iter().filter_map(|name| object.properties.get(name));
                required.fold(1, |sum: u64, shape| sum.saturating_add(shape.compared()))
            }
            _ => 1,
        }
    }
}

pub(super) fn array_of(prefix: Vec<Shape>, items: Option<Shape>) -> Shape {
    let size =
        prefix.iter().chain(&items).fold(2, |sum: u64, shape| sum.saturating_add(shape.size()));
    Shape::Array(Rc::new(Array { prefix, items, size }))
}

pub(super) fn raw_options(options: Vec<Shape>, one: bool) -> Shape {
    let size = options.iter().fold(1, |sum: u64, shape| sum.saturating_add(shape.size()));
    Shape::Options { options: Rc::new(options), size, one }
}

/// Options without those that cannot be, and without options inside.
pub(super) fn options_of(options: Vec<Shape>, one: bool, budget: &mut Budget) -> Result<Shape> {
    let mut flat = Vec::with_capacity(options.len());
    for option in options {
        budget.step(1)?;
        match option {
            Shape::Never => {}
            Shape::Any if !one => return Ok(Shape::Any),
            Shape::Options { options, .. } => {
                budget.step(options.len() as u64)?;
                flat.extend(options.iter().cloned());
            }
            option => flat.push(option),
        }
    }
    if flat.len() <= 1 {
        return Ok(flat.pop().unwrap_or(Shape::Never));
    }
    if one {
        let compared = flat.iter().fold(0, |sum: u64, shape| sum.saturating_add(shape.compared()));
        budget.step(compared.saturating_mul(compared) / 16)?;
    }
    Ok(raw_options(flat, one))
}

pub(super) fn normal(shape: Shape, budget: &mut Budget) -> Result<Shape> {
    match shape {
        Shape::Options { options, one, .. } => options_of(options.to_vec(), one, budget),
        shape => Ok(shape),
    }
}
