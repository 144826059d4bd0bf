//! Which rule combines the updates of a tensor: what the options ask for, with what each adapter keeps.

use super::adapter::Adapter;
use super::draws::{identity, mask_key};
use super::options::{PlanOptions, none_of};
use super::program::Update;
use crate::combine::{Blend, BlendKind, Combine, Divide, Election, Member, Prune, Rescale, Sce, Sparse};
use crate::error::{Error, Result};

/// How the random numbers of a merge are made, for its recipe.
pub(crate) const RANDOM: &str =
    "Philox4x32-10; key: the first 64 bits of SHA-256(seed, adapter's sha256, tensor); counter: element / 4";

/// A method of merging several adapters.
#[derive(Debug, Clone, Copy)]
struct Method {
    name: &'static str,
    kind: Kind,
    /// What the sum is divided by where nothing is said, as PEFT and as mergekit have it.
    divides: [bool; 2],
    /// Who has it.
    whose: Whose,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Each delta is pruned; then signs may be elected.
    Sparse(Prune, bool),
    Sce,
    Stock,
    /// Of two, in a straight line where |cos| is above this.
    Slerp(f64),
    Karcher,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Whose {
    Peft,
    Mergekit,
    /// Both, who differ.
    Both,
    /// mergekit, of whole weights; and of deltas nobody but us.
    Whole,
}

/// All but the weighted sum. mergekit's limits: `slerp` goes straight where |cos| > 0.9995, `nuslerp` where 1 − cos² ≤ 1e-16.
const METHODS: &[Method] = &[
    Method::of("magnitude_prune", Kind::Sparse(Prune::Smallest, false), [false, false], Whose::Peft),
    Method::of("ties", Kind::Sparse(Prune::Smallest, true), [true, true], Whose::Both),
    Method::of("dare_linear", Kind::Sparse(Prune::Random, false), [false, false], Whose::Both),
    Method::of("dare_ties", Kind::Sparse(Prune::Random, true), [true, false], Whose::Both),
    Method::of("breadcrumbs", Kind::Sparse(Prune::Outliers, false), [false, false], Whose::Mergekit),
    Method::of("breadcrumbs_ties", Kind::Sparse(Prune::Outliers, true), [false, false], Whose::Mergekit),
    Method::of("della_linear", Kind::Sparse(Prune::Ranks, false), [false, false], Whose::Mergekit),
    Method::of("della", Kind::Sparse(Prune::Ranks, true), [true, true], Whose::Mergekit),
    Method::of("sce", Kind::Sce, [false, false], Whose::Mergekit),
    Method::of("model_stock", Kind::Stock, [false, false], Whose::Mergekit),
    Method::of("slerp", Kind::Slerp(0.9995), [false, false], Whose::Whole),
    Method::of("nuslerp", Kind::Slerp(1.0 - 5e-17), [false, false], Whose::Mergekit),
    Method::of("karcher", Kind::Karcher, [false, false], Whose::Whole),
];

impl Method {
    const fn of(name: &'static str, kind: Kind, divides: [bool; 2], whose: Whose) -> Method {
        Method { name, kind, divides, whose }
    }

    /// What it prunes, and whether it elects signs.
    fn sparse(&self) -> Option<(Prune, bool)> {
        match self.kind {
            Kind::Sparse(prune, elects) => Some((prune, elects)),
            _ => None,
        }
    }

    fn prunes(&self, wanted: Prune) -> bool {
        self.sparse().is_some_and(|(prune, _)| prune == wanted)
    }

    /// Whether an adapter's weight is a factor on its delta, or says how near the result is to it.
    fn knows_weights(&self) -> bool {
        !matches!(self.kind, Kind::Sce | Kind::Stock | Kind::Karcher)
    }
}

/// Every method.
fn names() -> String {
    let names = METHODS.iter().map(|method| method.name);
    std::iter::once("linear").chain(names).collect::<Vec<_>>().join(", ")
}

/// What the options ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// None for the weighted sum.
    method: Option<Method>,
    /// As mergekit does it, where it differs from PEFT.
    mergekit: bool,
    density: Option<f64>,
    election: Option<Election>,
    normalize: Option<bool>,
    seed: u64,
    gamma: f64,
    epsilon: f64,
}

/// mergekit's share of outliers, and how far its probabilities are from the density.
const GAMMA: f64 = 0.01;
const EPSILON: f64 = 0.15;

impl Rules {
    /// Check the options.
    ///
    /// # Errors
    /// `bad-option` for a method or a value that there is not, and for options that the method has no use for.
    pub(crate) fn of(options: &PlanOptions) -> Result<Rules> {
        let method = match options.method.as_deref() {
            None | Some("linear") => None,
            Some(name) => match METHODS.iter().find(|method| method.name == name) {
                Some(method) => Some(*method),
                None => return Err(none_of("method", name, &names())),
            },
        };
        let election = options.majority_sign.as_deref().map(election_named).transpose()?;
        let mergekit = match options.flavor.as_deref() {
            None | Some("peft") => false,
            Some("mergekit") => true,
            Some(other) => return Err(none_of("flavor", other, "peft, mergekit")),
        };
        let rules = Rules {
            method,
            mergekit,
            density: options.density.map(|density| check_density("density", density)).transpose()?,
            election,
            normalize: options.normalize,
            seed: options.seed,
            gamma: options.gamma.unwrap_or(GAMMA),
            epsilon: options.epsilon.unwrap_or(EPSILON),
        };
        let name = method.map_or("linear", |method| method.name);
        let sparse = method.and_then(|method| method.sparse());
        let useless = [
            ("density", options.density.is_some(), rules.knows_density(), "prunes nothing"),
            ("majoritySign", election.is_some(), rules.elects(), "elects no signs"),
            ("normalize", options.normalize.is_some(), sparse.is_some(), "divides by nothing, or always by the same"),
            ("flavor", options.flavor.is_some(), rules.has_flavors(), "has one meaning"),
            ("gamma", options.gamma.is_some(), rules.prunes(Prune::Outliers), "drops no outliers"),
            ("epsilon", options.epsilon.is_some(), rules.prunes(Prune::Ranks), "does not prune by ranks"),
        ];
        if options.unmerge && method.is_some() {
            let reason = format!("what {name} makes of several adapters cannot be taken out again");
            return Err(Error::bad_option("method", reason)
                .fix("leave the method out: that of the merge must have been linear"));
        }
        for (option, given, used, why) in useless {
            if given && !used {
                return Err(Error::bad_option(option, format!("{name} does not use it: it {why}"))
                    .fix("leave it out, or choose another method"));
            }
        }
        for (option, value) in [("gamma", rules.gamma), ("epsilon", rules.epsilon)] {
            if !(0.0..1.0).contains(&value) {
                let found = crate::json::number(value);
                let error = Error::bad_option(option, format!("{found} is no number from 0 to below 1"));
                return Err(error.found(found).expected("a number from 0 to below 1"));
            }
        }
        Ok(rules)
    }

    fn prunes(&self, prune: Prune) -> bool {
        self.method.is_some_and(|method| method.prunes(prune))
    }

    fn has_flavors(&self) -> bool {
        self.method.is_some_and(|method| matches!(method.whose, Whose::Both | Whose::Whole))
    }

    fn knows_density(&self) -> bool {
        self.needs_density() || self.method.is_some_and(|method| method.kind == Kind::Sce)
    }

    fn needs_density(&self) -> bool {
        self.method.is_some_and(|method| method.sparse().is_some())
    }

    /// Whether signs are elected, by a sum that has a choice.
    pub(crate) fn elects(&self) -> bool {
        self.method.and_then(|method| method.sparse()).is_some_and(|(_, elects)| elects)
    }

    /// Whether random numbers are drawn.
    pub(crate) fn is_random(&self) -> bool {
        self.prunes(Prune::Random) || self.prunes(Prune::Ranks)
    }

    /// Check what is asked of the adapters.
    ///
    /// # Errors
    /// `bad-option` where a density is missing, what is asked of an adapter is of no use, or there are too many of them, or too few.
    pub(crate) fn check(&self, adapters: &[Adapter]) -> Result<()> {
        let name = self.method.map_or("linear", |method| method.name);
        let useless = |adapter: &Adapter, option: &str, why: &str| {
            let error = Error::bad_option(option, format!("{name} does not use it: it {why}"));
            Err(error.adapter(adapter.name.clone()).fix("leave it out, or choose another method"))
        };
        for adapter in adapters {
            let density = adapter.density.or(self.density);
            if adapter.density.is_some() && !self.needs_density() {
                return useless(adapter, "density", "prunes no single delta");
            }
            if self.needs_density() && density.is_none() {
                let reason = format!("method {name} needs the share of each delta that is kept");
                let error = Error::bad_option("density", reason).expected("a number above 0, up to 1");
                return Err(error.adapter(adapter.name.clone()).fix("give density, such as 0.5"));
            }
            if self.prunes(Prune::Ranks)
                && let Some(density) = density.filter(|density| *density < 1.0)
                && (density - self.epsilon <= 0.0 || density + self.epsilon >= 1.0)
            {
                let [density, epsilon] = [density, self.epsilon].map(crate::json::number);
                let reason = format!("density {density} ± {epsilon} is not within 0 and 1");
                let error = Error::bad_option("epsilon", reason).found(epsilon).adapter(adapter.name.clone());
                return Err(error.fix("give a smaller epsilon, or a density nearer to 0.5"));
            }
            let weighed =
                adapter.weight != 1.0 || !adapter.choice.weights.is_empty() || adapter.choice.block_weights.is_some();
            if self.method.is_some_and(|method| !method.knows_weights()) && weighed {
                return useless(adapter, "weight", "takes its weights from the deltas");
            }
        }
        let two = matches!(self.method, Some(Method { kind: Kind::Slerp(_), .. }));
        if two && adapters.len() != 2 {
            let reason = format!("{name} needs exactly two adapters; you gave {}", adapters.len());
            return Err(Error::bad_option("method", reason).found(name).fix("give two, or take karcher"));
        }
        Ok(())
    }

    /// How the updates of a tensor of so many elements become one.
    ///
    /// # Errors
    /// `unsupported` where an adapter brings the values of a tensor that another one changes, too.
    pub(crate) fn combine(
        &self,
        tensor: &str,
        elements: u64,
        updates: &mut [Update],
        adapters: &[Adapter],
    ) -> Result<Combine> {
        let Some(method) = self.method else { return Ok(Combine::Linear) };
        let mut names: Vec<String> = Vec::new();
        for update in updates.iter() {
            if !names.contains(&update.adapter) {
                names.push(update.adapter.clone());
            }
        }
        // Beside a whole weight that an adapter changes there are those of the others, which are the base's.
        let whole: Vec<Option<usize>> = match self.mergekit && method.whose == Whose::Whole {
            true => adapters.iter().map(|one| names.iter().position(|name| *name == one.name)).collect(),
            false => Vec::new(),
        };
        if let Some(brought) = updates.iter().find(|update| update.op.brings_values()) {
            if names.len() == 1 && whole.len() < 2 {
                return Ok(Combine::Linear);
            }
            let others = adapters.iter().map(|adapter| adapter.name.as_str());
            let others = others.filter(|name| !whole.is_empty() || names.iter().any(|own| own == name));
            let others: Vec<&str> = others.filter(|name| *name != brought.adapter).collect();
            let reason = format!(
                "{} brings values of its own in place of the base's: that is no delta which {} could combine with those of {}",
                brought.adapter,
                method.name,
                others.join(", "),
            );
            let error = Error::unsupported(tensor, reason).tensor(tensor).adapter(brought.adapter.clone());
            return Err(error.fix("merge with method linear, or leave the tensor out by skip"));
        }
        let weight =
            |name: &String| updates.iter().find(|update| update.adapter == *name).map_or(0.0, |one| one.weight);
        let weights: Vec<f64> = names.iter().map(weight).collect();
        let (members, total) = (names.len(), weights.iter().sum::<f64>());
        let Some((prune, elects)) = method.sparse() else {
            if members.max(whole.len()) < 2 {
                // There is nothing beside it: it is taken as it is.
                updates.iter_mut().for_each(|update| update.weight = 1.0);
                return Ok(Combine::Linear);
            }
            let kind = match method.kind {
                Kind::Sce => {
                    let density = self.density.unwrap_or(1.0);
                    return Ok(Combine::Sce(Sce { density, members, elements }));
                }
                Kind::Slerp(straight) => {
                    // The weight of an adapter that does not change the tensor counts where its weight is the base's.
                    let of_all =
                        |(one, adapter): (&Option<usize>, &Adapter)| one.map_or(adapter.weight, |own| weights[own]);
                    let weights = match whole.is_empty() {
                        true => weights.clone(),
                        false => whole.iter().zip(adapters).map(of_all).collect(),
                    };
                    let total: f64 = weights.iter().sum();
                    // mergekit's least sum of weights that is not zero.
                    let t = if total.abs() < 1e-6 { 0.5 } else { weights[1] / total };
                    BlendKind::Slerp { t, straight }
                }
                Kind::Karcher => BlendKind::Karcher,
                _ => BlendKind::Stock,
            };
            return Ok(Combine::Blend(Blend { kind, members, whole }));
        };
        let mergekit = self.mergekit || method.whose == Whose::Mergekit;
        let member = |name: &String| {
            let place = adapters.iter().position(|adapter| adapter.name == *name);
            let adapter = place.and_then(|place| adapters.get(place));
            let density = adapter.and_then(|adapter| adapter.density).or(self.density).unwrap_or(1.0);
            let least = if mergekit && prune == Prune::Smallest { 1 } else { 0 };
            let kept = ((density * elements as f64) as u64).max(least);
            let outliers = ((self.gamma * elements as f64) as u64).min(elements - kept.min(elements));
            let key = adapter
                .filter(|_| self.is_random())
                .map_or(0, |adapter| mask_key(self.seed, &identity(adapter, place.unwrap_or(0)), tensor));
            Member {
                density,
                kept,
                outliers: if prune == Prune::Outliers { outliers } else { 0 },
                epsilon: self.epsilon,
                key,
            }
        };
        let divides = self.normalize.unwrap_or(method.divides[usize::from(mergekit)]);
        let divide = match (divides, elects, mergekit) {
            (false, ..) => Divide::No,
            (_, true, false) => Divide::Agreeing,
            (_, true, true) => Divide::Weights,
            // mergekit's least sum of weights that is not zero.
            (_, false, _) if total.abs() < 1e-8 => Divide::No,
            (_, false, _) => Divide::By(total),
        };
        Ok(Combine::Sparse(Sparse {
            prune,
            rescale: match (self.is_random(), mergekit) {
                (false, _) => Rescale::No,
                (true, false) => Rescale::Density,
                (true, true) => Rescale::Magnitudes,
            },
            election: if elects { self.election.unwrap_or(Election::Total) } else { Election::None },
            weighted: mergekit,
            divide,
            members: names.iter().map(member).collect(),
        }))
    }
}

/// A share of a delta that is kept.
///
/// # Errors
/// `bad-option` where it is none.
pub(crate) fn check_density(option: &str, density: f64) -> Result<f64> {
    if density > 0.0 && density <= 1.0 {
        return Ok(density);
    }
    let found = crate::json::number(density);
    let error = Error::bad_option(option, format!("it must be above 0 and at most 1, not {found}"));
    Err(error.found(found).expected("a number above 0, up to 1"))
}

/// How signs are elected, by its name in PEFT.
///
/// # Errors
/// `bad-option` for another one.
pub(crate) fn election_named(name: &str) -> Result<Election> {
    match name {
        "total" => Ok(Election::Total),
        "frequency" => Ok(Election::Frequency),
        other => Err(none_of("majoritySign", other, "total, frequency")),
    }
}
