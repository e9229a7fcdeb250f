//! What the user selects: the variables to make, and the fields that they need.

use std::rc::Rc;

use crate::facts::Facts;
use crate::facts::field::Field;
use crate::facts::reference::Reference;
use crate::facts::wanted::{FindMissed, Missed, Wanted};
use crate::kubernetes::path::Path;
use crate::sources::gather::Origin;
use crate::system::environment::Environment;
use crate::variables::labels::{MAPS, map_of};
use crate::variables::set::Lookup;
use crate::variables::value::Expression;
use crate::variables::value::evaluate::evaluate;
use crate::variables::value::template::Template;
use crate::variables::{of_fields, otel, set};

/// The variables to make beside the standard ones, and the texts that refer to variables and fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Names and definitions. Each comes after the definitions that it refers to ([`crate::variables::value::order`]).
    pub(crate) set: &'a [(String, Expression)],
    pub(crate) labels: bool,
    pub(crate) annotations: bool,
    pub(crate) require: &'a [String],
    pub(crate) otel: bool,
    /// `--override`: the names of variables that are replaced if they are set, or `*`.
    pub(crate) overrides: &'a [String],
    /// `--omit`: the names of variables that only others refer to.
    pub(crate) omit: &'a [String],
    /// `--standard=false`: so are the standard variables that are not required.
    pub(crate) omits_standard: bool,
    /// Templates and arguments, whose references are requested.
    pub(crate) templates: Vec<Rc<Template>>,
    /// What the application has anyway, if this process becomes it.
    pub(crate) application: Option<&'a Environment>,
}

impl Selection<'_> {
    /// Whether a value replaces that of the variable `name` that is already set.
    pub(crate) fn overrides(&self, name: &str) -> bool {
        self.overrides.iter().any(|overridden| overridden == name || overridden == "*")
    }

    /// Whether only other variables refer to the variable `name`.
    pub(super) fn omits(&self, name: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|known| known == name);
        let is_standard = Field::of_variable(name).is_some() && !self.sets(name);
        has(self.omit) || (self.omits_standard && is_standard && !has(self.require))
    }

    /// Whether `--set` defines the variable `name`.
    pub(super) fn sets(&self, name: &str) -> bool {
        self.set.iter().any(|(set, _)| set == name)
    }

    /// Whether every entry of `map` becomes a variable: by its option, or because one is required.
    pub(super) fn has_all(&self, map: Field) -> bool {
        let is_selected = if map == Field::LABELS { self.labels } else { self.annotations };
        is_selected || self.require.iter().any(|name| map_of(name) == Some(map))
    }

    /// The fields that were requested by name.
    pub(crate) fn wanted<'s>(&'s self, origin: &'s Origin) -> Wanted<'s> {
        let maps = MAPS.into_iter().map(|(map, _)| map).filter(|map| self.has_all(*map));
        let required = self.require.iter().filter_map(|name| Field::of_variable(name));
        let fields = maps.chain(required).map(Reference::Field).collect();
        let optional = self.otel.then_some(otel::wanted as _);
        let has_values = !self.set.is_empty() || !self.templates.is_empty();
        let missed = has_values.then(|| Rc::new(|facts: &Facts| self.missed(facts, origin)) as FindMissed);
        let (named, paths) = self.named();
        Wanted { fields, missed, named, optional, has_no_container: false, paths }
    }

    /// The fields that options and values name, themselves or their variables, and the paths in values.
    pub(crate) fn named(&self) -> (Vec<Field>, Vec<Path>) {
        let mut named: Vec<_> = self.require.iter().filter_map(|name| Field::of_variable(name)).collect();
        let mut paths = Vec::new();
        let mut visit = |node: &Expression| match node {
            Expression::Field(field) => match &field.0 {
                Reference::Path(path) => paths.push(path.clone()),
                reference => named.extend(reference.field()),
            },
            Expression::Variable(name) => named.extend(Field::of_variable(name)),
            _ => {}
        };
        self.set.iter().for_each(|(_, definition)| definition.each(&mut visit));
        self.expressions().for_each(|node| node.each(&mut visit));
        (named, paths)
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.templates.iter().flat_map(|template| template.expressions())
    }

    /// The fields that the values of `--set` and the templates need, and that `facts` do not have.
    fn missed(&self, facts: &Facts, origin: &Origin) -> Vec<Missed> {
        let mut missed = Vec::new();
        let mut variables = of_fields(facts);
        set::add(&mut variables, facts, self, origin, true, &mut missed);
        let lookup = Lookup { facts, variables: &variables, selection: self, origin, own: None };
        for node in self.expressions() {
            // Only what it misses counts.
            let _ = evaluate(node, &lookup, &mut missed);
        }
        missed
    }
}
