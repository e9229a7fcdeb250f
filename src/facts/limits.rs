//! Chooses the value of a limit: the cgroup's value overrides all others.
//!
//! The control group has the limit that the kernel enforces now, but the kernel has rounded it. The
//! other sources have the number of the manifest. But they may be out of date and, without a
//! limit, they report the size of the node. So the number of another source is used only if the kernel
//! would round it to the value in the control group. Without a control group that can be read, the number is used only if
//! it cannot be the size of the node.

use crate::facts::field::{Field, Source};
use crate::facts::{Fact, Value};
use crate::kubernetes::quantity::Quantity;

/// The smallest quota that the kernel accepts, in microseconds (`kernel/sched/core.c`).
const MINIMUM_QUOTA: u64 = 1_000;
/// systemd rounds a quota up to a multiple of this, in thousandths of a CPU (runc's `systemd/cpu.go`).
const SYSTEMD_STEP: u64 = 10;

/// What is known of the machine. In a sandbox it is the virtual machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// The kernel rounds memory limits to multiples of this, in bytes.
    pub(crate) page_size: u64,
    /// All of its memory, in bytes.
    pub(crate) memory: Option<u64>,
    /// The number of its CPUs.
    pub(crate) cpus: Option<u64>,
    /// The number of CPUs in the cpuset of this container, if there are fewer than the machine has.
    pub(crate) cpuset: Option<u64>,
}

impl Machine {
    /// Whether the limit `reported` cannot be the node's size, which the kubelet reports if no limit is set. The allocatable
    /// part of a node is more than half of it. Only a sandbox has exactly the size of its limit.
    fn is_limit(&self, field: Field, reported: &Quantity) -> bool {
        let (all, reported, is_all) = if field == Field::CPU_LIMIT {
            let (all, reported) =
                (self.cpus.map(|cpus| cpus.saturating_mul(1000)), non_negative(reported.milli_value()));
            (all, reported, all == Some(reported))
        } else {
            // The kernel and the kubelet's variables have KiB.
            let reported = non_negative(reported.value());
            let is_all = |all: u64| all / 1024 == reported / 1024 || all / 1024 == reported.div_ceil(1024);
            (self.memory, reported, self.memory.is_some_and(is_all))
        };
        is_all || all.is_none_or(|all| reported < all / 2)
    }

    /// Whether the static CPU manager gave the container so many CPUs, without a quota
    /// (`pkg/kubelet/cm/cpumanager/policy_static.go`).
    fn is_exclusive(&self, reported: &Quantity) -> bool {
        self.cpuset.is_some_and(|cpus| non_negative(reported.milli_value()) == cpus.saturating_mul(1000))
    }
}

/// A CPU bandwidth limit: the running time in each period, both in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub(crate) quota: u64,
    pub(crate) period: u64,
}

impl Quota {
    /// The limit in thousandths of a CPU, rounded up.
    ///
    /// The kubelet rounds down when it computes the quota (`MilliCPUToQuota` in
    /// `pkg/kubelet/cm/helpers_linux.go`), so rounding up gives its input.
    fn milli(self) -> u64 {
        self.quota.saturating_mul(1000).div_ceil(self.period)
    }

    /// The share of a CPU, in units of 2^-64.
    pub(crate) fn share(&self) -> u128 {
        (u128::from(self.quota) << 64) / u128::from(self.period)
    }

    /// Whether the kubelet converts a limit of `milli` thousandths of a CPU to this quota.
    fn is_from(self, milli: u64) -> bool {
        let of = |milli: u64| (milli.saturating_mul(self.period) / 1000).max(MINIMUM_QUOTA);
        self.quota == of(milli) || self.quota == of(milli.next_multiple_of(SYSTEMD_STEP))
    }
}

/// Chooses the value of the resource `field` from those that the sources reported.
pub(crate) fn resolve(field: Field, reported: &[&Fact], machine: &Machine) -> Option<Fact> {
    let enforced = reported.iter().find(|fact| fact.source == Source::Cgroup).map(|fact| &fact.value);
    match enforced {
        None if matches!(field, Field::CPU_LIMIT | Field::MEMORY_LIMIT) => {
            first_reported(field, reported, |limit| machine.is_limit(field, limit))
        }
        None => first_reported(field, reported, |_| true),
        Some(Value::Quota(quota)) => {
            let enforced = Quantity::from_milli(quota.milli());
            Some(refine(enforced, reported, |reported| quota.is_from(non_negative(reported.milli_value()))))
        }
        Some(Value::Quantity(limit)) => {
            let page = i64::try_from(machine.page_size).unwrap_or(1);
            let bytes = limit.value();
            Some(refine(limit.clone(), reported, |reported| {
                reported.value().checked_sub(bytes).is_some_and(|over| (0..page).contains(&over))
            }))
        }
        // There may be a limit without a quota: with exclusive CPUs, or with cpuCFSQuota off.
        Some(_) if field == Field::CPU_LIMIT => {
            first_reported(field, reported, |limit| machine.is_exclusive(limit))
        }
        Some(_) => Some(Fact { value: Value::Nothing, source: Source::Cgroup }),
    }
}

/// The limit that the kernel enforces, or the exact number of a source that agrees with it.
fn refine(enforced: Quantity, reported: &[&Fact], agrees: impl Fn(&Quantity) -> bool) -> Fact {
    let enforced = Fact { value: Value::Quantity(enforced), source: Source::Cgroup };
    let others = reported.iter().filter(|fact| fact.source != Source::Cgroup);
    let exact = others.filter(|fact| matches!(&fact.value, Value::Quantity(exact) if agrees(exact)));
    let exact = exact.min_by_key(|fact| amount(fact));
    match exact {
        Some(exact) if amount(exact) != amount(&enforced) => (*exact).clone(),
        Some(exact) => Fact { source: Source::Cgroup, value: exact.value.clone() },
        None => enforced,
    }
}

fn non_negative(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The value of the first source. What the author's manifest says counts only if `is_limit`.
fn first_reported(field: Field, reported: &[&Fact], is_limit: impl Fn(&Quantity) -> bool) -> Option<Fact> {
    field.sources.iter().filter(|source| **source != Source::Cgroup).find_map(|source| {
        let is_certain = |fact: &&&Fact| match quantity(&fact.value) {
            Some(limit) if matches!(source, Source::Volume | Source::Environment) => is_limit(limit),
            _ => true,
        };
        let same = reported.iter().filter(|fact| fact.source == *source).filter(is_certain);
        // A volume may have the limit in several units. The kubelet rounded each up: the least is nearest.
        let fact = same.min_by_key(|fact| amount(fact))?;
        let value = quantity(&fact.value).map_or(Value::Nothing, |exact| Value::Quantity(exact.clone()));
        Some(Fact { value, source: *source })
    })
}

/// Whether `reported` is the number `known`, or what the kubelet made of it: the kernel rounded one of them down, and the
/// kubelet the other one up to KiB.
pub(crate) fn agree(known: &Value, reported: &Value, machine: &Machine) -> bool {
    let (Some(exact), Some(shown)) = (quantity(known), quantity(reported)) else { return false };
    let is_same = exact.milli_value() == shown.milli_value();
    let (Value::Quantity(known), Value::Rounded(reported)) = (known, reported) else { return is_same };
    let over = reported.value().saturating_sub(known.value());
    is_same || (over >= 0 && non_negative(over) < machine.page_size + 1023)
}

fn quantity(value: &Value) -> Option<&Quantity> {
    match value {
        Value::Quantity(quantity) | Value::Rounded(quantity) => Some(quantity),
        _ => None,
    }
}

fn amount(fact: &Fact) -> (i64, i64) {
    let of = |quantity: &Quantity| (quantity.value(), quantity.milli_value());
    quantity(&fact.value).map_or((i64::MAX, i64::MAX), of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 16 CPUs and 32 GB.
    fn machine() -> Machine {
        Machine { page_size: 4096, memory: Some(31_250_000 << 10), cpus: Some(16), cpuset: None }
    }

    fn reported(source: Source, quantity: &str) -> Fact {
        Fact { value: Value::Quantity(Quantity::parse(quantity).unwrap()), source }
    }

    fn rounded(quantity: &str) -> Fact {
        Fact { value: Value::Rounded(Quantity::parse(quantity).unwrap()), source: Source::Environment }
    }

    fn quota(quota: u64, period: u64) -> Fact {
        Fact { value: Value::Quota(Quota { quota, period }), source: Source::Cgroup }
    }

    const UNLIMITED: Fact = Fact { value: Value::Nothing, source: Source::Cgroup };

    fn limit(field: Field, reported: &[Fact]) -> Option<(String, Source)> {
        let reported: Vec<&Fact> = reported.iter().collect();
        on(&machine(), field, &reported)
    }

    fn on(machine: &Machine, field: Field, reported: &[&Fact]) -> Option<(String, Source)> {
        match resolve(field, reported, machine)? {
            Fact { value: Value::Quantity(quantity), source } => Some((quantity.to_string(), source)),
            _ => None,
        }
    }

    fn is(quantity: &str, source: Source) -> Option<(String, Source)> {
        Some((quantity.to_owned(), source))
    }

    #[test]
    fn the_manifest_s_digits_where_the_kernel_rounded_them() {
        // 100M is 24414.06 pages.
        let enforced =
            Fact { value: Value::Quantity(Quantity::from_bytes(99_999_744)), source: Source::Cgroup };
        let resolved = limit(Field::MEMORY_LIMIT, &[enforced.clone(), reported(Source::Api, "100M")]);
        assert_eq!(resolved, is("100M", Source::Api));
        // A number that was rounded itself agrees, and is not the manifest's: 3G is 732421.9 pages, and 2929687.5 KiB.
        let three =
            Fact { value: Value::Quantity(Quantity::from_bytes(2_999_996_416)), source: Source::Cgroup };
        let kibibytes = rounded("2929688Ki");
        assert_eq!(limit(Field::MEMORY_LIMIT, &[three.clone(), kibibytes]), is("2929684Ki", Source::Cgroup));
        // One page more is a resize that is not there yet.
        let resolved = limit(Field::MEMORY_LIMIT, &[three, reported(Source::Api, "2929688Ki")]);
        assert_eq!(resolved, is("2929684Ki", Source::Cgroup));
        // A number that would have been rounded to another page is older, or another container's.
        let resolved = limit(Field::MEMORY_LIMIT, &[enforced, reported(Source::Volume, "64Mi")]);
        assert_eq!(resolved, is("97656Ki", Source::Cgroup));
    }

    #[test]
    fn no_memory_limit_whatever_others_say() {
        assert_eq!(limit(Field::MEMORY_LIMIT, &[UNLIMITED, reported(Source::Environment, "24Gi")]), None);
        assert_eq!(limit(Field::MEMORY_LIMIT, &[UNLIMITED, reported(Source::Api, "1Gi")]), None);
    }

    #[test]
    fn without_a_control_group_the_api_then_the_volume_then_the_environment() {
        let (env, volume) = (reported(Source::Environment, "2Gi"), reported(Source::Volume, "1Gi"));
        assert_eq!(limit(Field::MEMORY_LIMIT, &[env.clone(), volume.clone()]), is("1Gi", Source::Volume));
        let api = reported(Source::Api, "3Gi");
        assert_eq!(limit(Field::MEMORY_LIMIT, &[env, volume, api]), is("3Gi", Source::Api));
    }

    #[test]
    fn cpu_is_refined_from_what_the_kernel_and_systemd_round() {
        // The kernel's least quota is 1 ms.
        let api = reported(Source::Api, "3m");
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(1000, 100_000), api]), is("3m", Source::Api));
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(1000, 100_000)]), is("10m", Source::Cgroup));
        // systemd rounds 125m up to 130m.
        let env = reported(Source::Environment, "125m");
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(13_000, 100_000), env]), is("125m", Source::Environment));
        // Another period.
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(7500, 5000)]), is("1500m", Source::Cgroup));
        // A contradiction.
        let env = reported(Source::Environment, "2");
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(50_000, 100_000), env]), is("500m", Source::Cgroup));
    }

    #[test]
    fn no_quota_proves_nothing_but_only_the_api_is_believed() {
        let env = reported(Source::Environment, "2");
        assert_eq!(limit(Field::CPU_LIMIT, &[UNLIMITED, env.clone()]), None);
        let resolved = limit(Field::CPU_LIMIT, &[UNLIMITED, env, reported(Source::Api, "4")]);
        assert_eq!(resolved, is("4", Source::Api));
    }

    #[test]
    fn a_variable_in_kibibytes_does_not_contradict_what_the_kernel_rounded() {
        let known = |bytes| Value::Quantity(Quantity::from_bytes(bytes));
        let does_agree = |bytes, kibibytes: &str| agree(&known(bytes), &rounded(kibibytes).value, &machine());
        assert!(does_agree(99_999_744, "97657Ki") && does_agree(100_000_000, "97657Ki"));
        assert!(does_agree(67_108_864, "64Mi"));
        assert!(!does_agree(67_108_864, "65Mi") && !does_agree(67_108_864, "63Mi"));
    }

    #[test]
    fn exclusive_cpus_are_as_many_as_the_manifest_says() {
        let pinned = Machine { cpuset: Some(4), ..machine() };
        for (cpus, is_limit) in [("4", true), ("3", false), ("3500m", false), ("16", false)] {
            for source in [Source::Volume, Source::Environment] {
                let expected = if is_limit { is(cpus, source) } else { None };
                assert_eq!(
                    on(&pinned, Field::CPU_LIMIT, &[&UNLIMITED, &reported(source, cpus)]),
                    expected,
                    "{cpus}"
                );
            }
        }
    }

    #[test]
    fn a_number_that_may_be_the_node_s_size_is_no_limit() {
        for (field, number, is_limit) in [
            (Field::MEMORY_LIMIT, "14Gi", true),
            (Field::MEMORY_LIMIT, "16Gi", false),
            (Field::MEMORY_LIMIT, "29Gi", false),
            (Field::MEMORY_LIMIT, "31250000Ki", true),
            (Field::MEMORY_LIMIT, "31999999999", true),
            (Field::MEMORY_LIMIT, "64Gi", false),
            (Field::CPU_LIMIT, "7999m", true),
            (Field::CPU_LIMIT, "8", false),
            (Field::CPU_LIMIT, "15890m", false),
            (Field::CPU_LIMIT, "16", true),
        ] {
            for source in [Source::Volume, Source::Environment, Source::Api] {
                let known = limit(field, &[reported(source, number)]);
                assert_eq!(known.is_some(), is_limit || source == Source::Api, "{number}");
            }
        }
        let unknown = Machine::default();
        assert!(on(&unknown, Field::MEMORY_LIMIT, &[&reported(Source::Volume, "64Gi")]).is_some());
    }
}
