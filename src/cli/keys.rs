//! `oncepay keys create|list|revoke`

use clap::{Args, Subcommand};

use super::{
    error::CliError,
    merchants::{self, text_of},
    printer::Printer,
    settings::StoreArgs,
    store_command,
};
use crate::{
    api_key::{KeyKind, PlainKey},
    environment::Environment,
    payment::{ApiKeyId, ApiKeyRole, Merchant, MerchantId, Mode},
    store::Store,
};

/// The merchant of keys for trying things out; made when it is first needed.
pub(super) const TEST_MERCHANT: &str = "test";

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key and print it, alone, on the standard output
    Create(CreateArgs),
    /// List the keys; of each only its beginning is known
    List(StoreArgs),
    /// Revoke a key: nobody gets in with it any more
    Revoke {
        /// The key's id, as `oncepay keys list` shows it
        id: ApiKeyId,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Whose key it is [default: test]
    #[arg(long, value_name = "NAME")]
    merchant: Option<String>,
    /// A key for payments with real money
    #[arg(long, requires = "merchant", conflicts_with_all = ["test", "admin"])]
    live: bool,
    /// A key for payments with play money (the default)
    #[arg(long, conflicts_with = "admin")]
    test: bool,
    /// A key for the admin paths, and for no merchant's payments
    #[arg(long, conflicts_with = "merchant")]
    admin: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl CreateArgs {
    fn kind(&self) -> KeyKind {
        match (self.live, self.admin) {
            (true, _) => KeyKind::Merchant(Mode::Live),
            (false, true) => KeyKind::Admin,
            (false, false) => KeyKind::Merchant(Mode::Test),
        }
    }
}

pub(super) fn run(command: &KeysCommand, printer: &mut Printer) -> Result<(), CliError> {
    let environment = Environment::of_the_machine();
    match command {
        KeysCommand::Create(args) => {
            let merchant = args.merchant.as_deref().unwrap_or(TEST_MERCHANT);
            store_command(&args.store, async |store| {
                create(store, &environment, args.kind(), merchant, printer).await
            })
        }
        KeysCommand::List(args) => store_command(args, async |store| list(store, printer).await),
        KeysCommand::Revoke { id, store: args } => store_command(args, async |store| {
            revoke(store, &environment, *id, printer).await
        }),
    }
}

async fn create(
    store: &dyn Store,
    environment: &Environment,
    kind: KeyKind,
    merchant: &str,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let key = PlainKey::mint(kind, environment);
    let (merchant_id, whose) = match kind {
        // An admin key belongs to nobody: the id is looked at by no one.
        KeyKind::Admin => (environment.new_id(), "the admin paths".to_owned()),
        KeyKind::Merchant(mode) => {
            let id = find_merchant(store, environment, merchant).await?;
            (id, format!("the {mode} payments of merchant {merchant:?}"))
        }
    };
    let record = store
        .create_api_key(key.record(merchant_id, environment))
        .await?;
    printer.result(key.expose())?;
    printer.note(&format!(
        "This key opens {whose}. It is shown this once: keep it as you keep a password. \
         To revoke it: oncepay keys revoke {}",
        record.id
    ));
    Ok(())
}

async fn find_merchant(
    store: &dyn Store,
    environment: &Environment,
    name: &str,
) -> Result<MerchantId, CliError> {
    let merchants = store.merchants().await?;
    let found = merchants.iter().find(|merchant| merchant.name == name);
    match found {
        Some(Merchant {
            id, disabled_at, ..
        }) if disabled_at.is_none() => Ok(*id),
        Some(_) => Err(CliError::DisabledMerchant {
            name: name.to_owned(),
        }),
        None if name == TEST_MERCHANT => Ok(merchants::ensure(store, environment, name).await?.id),
        None => Err(CliError::UnknownMerchant {
            name: name.to_owned(),
            known: merchants
                .into_iter()
                .map(|merchant| merchant.name)
                .collect(),
        }),
    }
}

async fn list(store: &dyn Store, printer: &mut Printer) -> Result<(), CliError> {
    let merchants = store.merchants().await?;
    let name_of = |id: MerchantId| {
        let merchant = merchants.iter().find(|merchant| merchant.id == id);
        merchant.map_or_else(|| id.to_string(), |merchant| merchant.name.clone())
    };
    let keys = store.api_keys().await?;
    let rows = keys.into_iter().map(|key| {
        let (opens, merchant) = match key.role {
            ApiKeyRole::Merchant { merchant_id, mode } => (mode.as_str(), name_of(merchant_id)),
            ApiKeyRole::Admin => ("admin", String::new()),
        };
        [
            key.id.to_string(),
            format!("{}..", key.hint),
            opens.to_owned(),
            merchant,
            key.created_at.to_string(),
            text_of(key.revoked_at),
        ]
    });
    let rows: Vec<_> = rows.collect();
    printer.table(
        ["ID", "KEY", "OPENS", "MERCHANT", "CREATED", "REVOKED"],
        &rows,
    )
}

async fn revoke(
    store: &dyn Store,
    environment: &Environment,
    id: ApiKeyId,
    printer: &mut Printer,
) -> Result<(), CliError> {
    if !store.revoke_api_key(id, environment.now()).await? {
        return Err(CliError::UnknownKey { id: id.to_string() });
    }
    printer.note(&format!("{id} is revoked."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api_key, cli::memory_store::MemoryStore};

    const TEST: KeyKind = KeyKind::Merchant(Mode::Test);
    const LIVE: KeyKind = KeyKind::Merchant(Mode::Live);

    #[tokio::test]
    async fn a_made_key_is_alone_on_the_output_and_the_store_knows_its_digest() {
        let (store, environment) = (MemoryStore::default(), Environment::of_the_machine());
        let (mut printer, out, err) = Printer::captured();
        create(&store, &environment, TEST, "test", &mut printer)
            .await
            .unwrap();

        let key = out.text().trim_end().to_owned();
        assert_eq!(out.text().lines().count(), 1);
        assert_eq!(KeyKind::of(&key), Some(TEST));
        assert!(
            store
                .find_api_key(api_key::digest(&key))
                .await
                .unwrap()
                .is_some()
        );
        assert!(!err.text().contains(&key));
    }

    #[tokio::test]
    async fn a_key_for_an_unknown_merchant_is_refused_with_those_that_exist() {
        let (store, environment) = (MemoryStore::default(), Environment::of_the_machine());
        merchants::ensure(&store, &environment, "shop")
            .await
            .unwrap();
        let (mut printer, out, _) = Printer::captured();
        let refused = create(&store, &environment, LIVE, "shpo", &mut printer).await;
        let error = refused.unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no merchant \"shpo\"; there are: shop"
        );
        assert_eq!(
            error.advice().unwrap(),
            "make it with `oncepay merchants create shpo`"
        );
        assert_eq!(out.text(), "");
        assert!(store.api_keys().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_disabled_merchant_gets_no_key() {
        let (store, environment) = (MemoryStore::default(), Environment::of_the_machine());
        merchants::ensure(&store, &environment, "shop")
            .await
            .unwrap();
        store.disable_merchants(environment.now());
        let (mut printer, _, _) = Printer::captured();
        let refused = create(&store, &environment, LIVE, "shop", &mut printer).await;
        assert!(matches!(refused, Err(CliError::DisabledMerchant { .. })));
    }

    #[tokio::test]
    async fn a_revoked_key_is_listed_as_such_and_opens_nothing() {
        let (store, environment) = (MemoryStore::default(), Environment::of_the_machine());
        let (mut printer, out, _) = Printer::captured();
        create(&store, &environment, KeyKind::Admin, "", &mut printer)
            .await
            .unwrap();
        let digest = api_key::digest(out.text().trim_end());
        let id = store.api_keys().await.unwrap()[0].id;

        revoke(&store, &environment, id, &mut printer)
            .await
            .unwrap();

        assert!(store.find_api_key(digest).await.unwrap().is_none());
        list(&store, &mut printer).await.unwrap();
        let listed = out.text().lines().last().unwrap().to_owned();
        let times = listed.split_whitespace().filter(|it| it.ends_with('Z'));
        assert!(listed.contains("admin"), "{listed}");
        assert_eq!(times.count(), 2, "created and revoked: {listed}");
        let unknown = revoke(&store, &environment, environment.new_id(), &mut printer).await;
        assert!(matches!(unknown, Err(CliError::UnknownKey { .. })));
    }
}
