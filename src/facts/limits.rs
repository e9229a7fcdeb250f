//! Chooses the value of a limit: the cgroup's value overrides all others.
//!
//! The control group has the limit that the kernel enforces now, but the kernel has rounded it. The
//! other sources have the exact number of the manifest. But they may be out of date and, without a
//! limit, they report the size of the node. So the number of another source is used only if the kernel
//! would round it to the value in the control group.

use crate::facts::field::{Field, Source};
use crate::facts::{Fact, Value};
use crate::kubernetes::quantity::Quantity;

/// The smallest quota that the kernel accepts, in microseconds (`kernel/sched/core.c`).
const MINIMUM_QUOTA: u64 = 1_000;
/// systemd rounds a quota up to a multiple of this, in thousandths of a CPU (runc's `systemd/cpu.go`).
const SYSTEMD_STEP: u64 = 10;

const KIBIBYTE: i64 = 1024;

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

    /// Whether the kubelet converts a limit of `milli` thousandths of a CPU to this quota.
    fn is_from(self, milli: u64) -> bool {
        let of = |milli: u64| (milli.saturating_mul(self.period) / 1000).max(MINIMUM_QUOTA);
        self.quota == of(milli) || self.quota == of(milli.next_multiple_of(SYSTEMD_STEP))
    }
}

/// Chooses the value of the resource `field` from those that the sources reported.
pub(crate) fn resolve(field: Field, told: &[&Fact], page_size: u64) -> Option<Fact> {
    let enforced = told.iter().find(|fact| fact.source == Source::Cgroup).map(|fact| &fact.value);
    match enforced {
        None => first_told(field, told),
        Some(Value::Quota(quota)) => {
            let enforced = Quantity::from_milli(quota.milli());
            Some(refine(enforced, told, |_, told| quota.is_from(non_negative(told.milli_value()))))
        }
        Some(Value::Quantity(limit)) => {
            let bytes = limit.value();
            let page = i64::try_from(page_size).unwrap_or(1);
            Some(refine(limit.clone(), told, |source, told| {
                let slack = page.saturating_add(rounding(source, told));
                told.value().checked_sub(bytes).is_some_and(|over| (0..slack).contains(&over))
            }))
        }
        Some(_) if field == Field::CPU_LIMIT => {
            // There may be a limit without a quota: with exclusive CPUs, or with cpuCFSQuota off.
            told.iter().find(|fact| fact.source == Source::Api).copied().cloned()
        }
        Some(_) => Some(Fact { value: Value::Nothing, source: Source::Cgroup }),
    }
}

/// The limit that the kernel enforces, or the exact number of a source that agrees with it.
fn refine(enforced: Quantity, told: &[&Fact], agrees: impl Fn(Source, &Quantity) -> bool) -> Fact {
    let enforced = Fact { value: Value::Quantity(enforced), source: Source::Cgroup };
    match closest(told, agrees) {
        None => enforced,
        Some(exact) if amount(&exact) == amount(&enforced) => Fact { source: Source::Cgroup, ..exact },
        Some(exact) => exact,
    }
}

/// The number of bytes by which a number of `source` may exceed the manifest's. The variable is in KiB, and
/// the kubelet rounds up.
fn rounding(source: Source, told: &Quantity) -> i64 {
    match source {
        Source::Environment if told.value() % KIBIBYTE == 0 => KIBIBYTE - 1,
        _ => 0,
    }
}

fn non_negative(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn first_told(field: Field, told: &[&Fact]) -> Option<Fact> {
    field.sources.iter().find_map(|source| {
        // A volume may have the limit in several units. The kubelet rounded each up: the least is nearest.
        let same = told.iter().filter(|fact| fact.source == *source);
        same.min_by_key(|fact| amount(fact)).copied().cloned()
    })
}

/// The least of the numbers that agree with the kernel, because the kubelet rounds up.
fn closest(told: &[&Fact], agrees: impl Fn(Source, &Quantity) -> bool) -> Option<Fact> {
    let others = told.iter().filter(|fact| fact.source != Source::Cgroup);
    let agreeing = others.filter(|fact| match &fact.value {
        Value::Quantity(quantity) => agrees(fact.source, quantity),
        _ => false,
    });
    agreeing.min_by_key(|fact| amount(fact)).copied().cloned()
}

fn amount(fact: &Fact) -> (i64, i64) {
    match &fact.value {
        Value::Quantity(quantity) => (quantity.value(), quantity.milli_value()),
        _ => (i64::MAX, i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    fn told(source: Source, quantity: &str) -> Fact {
        Fact { value: Value::Quantity(Quantity::parse(quantity).unwrap()), source }
    }

    fn quota(quota: u64, period: u64) -> Fact {
        Fact { value: Value::Quota(Quota { quota, period }), source: Source::Cgroup }
    }

    const UNLIMITED: Fact = Fact { value: Value::Nothing, source: Source::Cgroup };

    fn limit(field: Field, told: &[Fact]) -> Option<(String, Source)> {
        let told: Vec<&Fact> = told.iter().collect();
        match resolve(field, &told, PAGE)? {
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
        let resolved = limit(Field::MEMORY_LIMIT, &[enforced.clone(), told(Source::Api, "100M")]);
        assert_eq!(resolved, is("100M", Source::Api));
        // The variable in KiB was rounded up: the API's number is nearer.
        let kibibytes = told(Source::Environment, "97657Ki");
        let resolved = limit(Field::MEMORY_LIMIT, &[enforced.clone(), kibibytes, told(Source::Api, "100M")]);
        assert_eq!(resolved, is("100M", Source::Api));
        // 3G is 732421.9 pages, and 2929687.5 KiB.
        let three =
            Fact { value: Value::Quantity(Quantity::from_bytes(2_999_996_416)), source: Source::Cgroup };
        let kibibytes = told(Source::Environment, "2929688Ki");
        let resolved = limit(Field::MEMORY_LIMIT, &[three.clone(), kibibytes]);
        assert_eq!(resolved, is("2929688Ki", Source::Environment));
        // The API's number was not rounded: one page more is a resize that is not there yet.
        let resolved = limit(Field::MEMORY_LIMIT, &[three, told(Source::Api, "2929688Ki")]);
        assert_eq!(resolved, is("2929684Ki", Source::Cgroup));
        // A number that would have been rounded to another page is older, or another container's.
        let resolved = limit(Field::MEMORY_LIMIT, &[enforced, told(Source::Environment, "64Mi")]);
        assert_eq!(resolved, is("97656Ki", Source::Cgroup));
    }

    #[test]
    fn no_memory_limit_whatever_others_say() {
        assert_eq!(limit(Field::MEMORY_LIMIT, &[UNLIMITED, told(Source::Environment, "24Gi")]), None);
        assert_eq!(limit(Field::MEMORY_LIMIT, &[UNLIMITED, told(Source::Api, "1Gi")]), None);
    }

    #[test]
    fn without_a_control_group_the_api_then_the_volume_then_the_environment() {
        let (env, volume) = (told(Source::Environment, "2Gi"), told(Source::Volume, "1Gi"));
        assert_eq!(limit(Field::MEMORY_LIMIT, &[env.clone(), volume.clone()]), is("1Gi", Source::Volume));
        let api = told(Source::Api, "3Gi");
        assert_eq!(limit(Field::MEMORY_LIMIT, &[env, volume, api]), is("3Gi", Source::Api));
    }

    #[test]
    fn cpu_is_refined_from_what_the_kernel_and_systemd_round() {
        // The kernel's least quota is 1 ms.
        let api = told(Source::Api, "3m");
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(1000, 100_000), api]), is("3m", Source::Api));
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(1000, 100_000)]), is("10m", Source::Cgroup));
        // systemd rounds 125m up to 130m.
        let env = told(Source::Environment, "125m");
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(13_000, 100_000), env]), is("125m", Source::Environment));
        // Another period.
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(7500, 5000)]), is("1500m", Source::Cgroup));
        // A contradiction.
        let env = told(Source::Environment, "2");
        assert_eq!(limit(Field::CPU_LIMIT, &[quota(50_000, 100_000), env]), is("500m", Source::Cgroup));
    }

    #[test]
    fn no_quota_proves_nothing_but_only_the_api_is_believed() {
        let env = told(Source::Environment, "2");
        assert_eq!(limit(Field::CPU_LIMIT, &[UNLIMITED, env.clone()]), None);
        assert_eq!(limit(Field::CPU_LIMIT, &[UNLIMITED, env, told(Source::Api, "4")]), is("4", Source::Api));
    }
}
