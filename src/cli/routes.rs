//! Rule 6: a provider with unsettled operations is neither dropped nor pointed elsewhere.

use crate::{provider::ProviderProfile, store::UnsettledRoute};

/// What a person does about such operations.
pub(super) const ADVICE: &str =
    "configure these providers as they were; `retired = true` keeps one only for settling";

/// Says, a line each, which unsettled operations no configured provider can settle.
pub(super) fn unreachable_routes<'a>(
    unsettled: &[UnsettledRoute],
    providers: impl Iterator<Item = &'a ProviderProfile> + Clone,
) -> Vec<String> {
    let lines = unsettled.iter().filter_map(|route| {
        let UnsettledRoute {
            provider,
            account,
            count,
        } = route;
        let configured = providers.clone().find(|profile| profile.name == *provider);
        match configured {
            Some(profile) if profile.account == *account => None,
            Some(_) => Some(format!(
                "{count} of provider {provider:?} belong to another URL, account or mode than it has now; \
                 without `account` a new secret is another account"
            )),
            None => Some(format!(
                "{count} belong to provider {provider:?}, which is not configured"
            )),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rule_6_a_provider_with_unsettled_operations_is_not_dropped_or_repointed() {
        let profile = |name: &str, account: &str| ProviderProfile {
            name: name.to_owned(),
            account: account.to_owned(),
            api_version: String::new(),
            mode: None,
            attempt_timeout: Duration::ZERO,
            key_retention: Duration::ZERO,
            absence_wait: Duration::ZERO,
        };
        let route = |provider: &str, account: &str, count| UnsettledRoute {
            provider: provider.to_owned(),
            account: account.to_owned(),
            count,
        };
        let profiles = [profile("main", "a"), profile("old", "b")];
        let told = unreachable_routes(
            &[
                route("main", "a", 7),
                route("old", "c", 2),
                route("gone", "a", 1),
            ],
            profiles.iter(),
        );
        assert_eq!(
            told,
            [
                "2 of provider \"old\" belong to another URL, account or mode than it has now; \
                 without `account` a new secret is another account",
                "1 belong to provider \"gone\", which is not configured",
            ]
        );
    }
}
