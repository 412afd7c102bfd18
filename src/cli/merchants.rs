//! `oncepay merchants create|list`

use clap::Subcommand;

use super::{error::CliError, printer::Printer, settings::StoreArgs, store_command};
use crate::{
    environment::Environment,
    payment::{Merchant, Timestamp},
    store::{Store, WriteError},
};

#[derive(Debug, Subcommand)]
pub(super) enum MerchantsCommand {
    /// Make a merchant, unless one of that name exists, and print its id
    Create {
        /// 1 to 64 characters
        name: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the merchants
    List(StoreArgs),
}

pub(super) fn run(command: &MerchantsCommand, printer: &mut Printer) -> Result<(), CliError> {
    match command {
        MerchantsCommand::Create { name, store: args } => {
            check_name(name)?;
            let environment = Environment::of_the_machine();
            store_command(args, async |store| {
                create(store, &environment, name, printer).await
            })
        }
        MerchantsCommand::List(args) => {
            store_command(args, async |store| list(store, printer).await)
        }
    }
}

fn check_name(name: &str) -> Result<(), CliError> {
    let fits = (1..=64).contains(&name.chars().count());
    if fits && name.trim() == name && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(CliError::MerchantName {
        name: name.to_owned(),
    })
}

async fn create(
    store: &dyn Store,
    environment: &Environment,
    name: &str,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let wanted = new_merchant(environment, name);
    let made_id = wanted.id;
    let merchant = store.create_merchant(wanted).await?;
    printer.result(&merchant.id.to_string())?;
    if merchant.id != made_id {
        printer.note(&format!(
            "There was a merchant {name:?} already; this is its id."
        ));
    } else {
        printer.note(&format!(
            "Made merchant {name:?}. Next: oncepay keys create --merchant {name:?} --live"
        ));
    }
    Ok(())
}

async fn list(store: &dyn Store, printer: &mut Printer) -> Result<(), CliError> {
    let merchants = store.merchants().await?;
    let rows = merchants.into_iter().map(|merchant| {
        [
            merchant.id.to_string(),
            merchant.name,
            merchant.created_at.to_string(),
            text_of(merchant.disabled_at),
        ]
    });
    let rows: Vec<_> = rows.collect();
    printer.table(["ID", "NAME", "CREATED", "DISABLED"], &rows)
}

/// Makes the merchant of that name, unless it exists.
pub(super) async fn ensure(
    store: &dyn Store,
    environment: &Environment,
    name: &str,
) -> Result<Merchant, WriteError> {
    store.create_merchant(new_merchant(environment, name)).await
}

fn new_merchant(environment: &Environment, name: &str) -> Merchant {
    Merchant {
        id: environment.new_id(),
        name: name.to_owned(),
        created_at: environment.now(),
        disabled_at: None,
    }
}

pub(super) fn text_of(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::memory_store::MemoryStore;

    #[tokio::test]
    async fn creating_a_merchant_twice_gives_the_same_id() {
        let (store, environment) = (MemoryStore::default(), Environment::of_the_machine());
        let (mut printer, out, err) = Printer::captured();
        for _ in 0..2 {
            create(&store, &environment, "shop", &mut printer)
                .await
                .unwrap();
        }
        let ids: Vec<String> = out.text().lines().map(str::to_owned).collect();
        assert_eq!(ids[0], ids[1]);
        assert!(err.text().contains("already"));

        list(&store, &mut printer).await.unwrap();
        assert!(out.text().lines().last().unwrap().contains("shop"));
    }

    #[test]
    fn a_name_is_short_trimmed_and_printable() {
        assert!(check_name("Müller & Söhne").is_ok());
        for bad in ["", " shop", "a\nb", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
