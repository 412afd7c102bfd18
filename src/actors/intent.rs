//! What is written down before anything is sent: intents, and the route that each takes.

use super::{
    order::Order,
    system::{DriveContext, Route},
};
use crate::{
    payment::{
        CreatePayment, Fingerprint, FollowUp, NewFollowUp, NewOperation, Opening, Operation,
        OperationId, OperationKind, Origin, Payment, ProviderRoute, Scope, Standing,
    },
    provider::{Draft, provider_key},
};

/// The intent of a new payment that goes to `route` first.
pub(super) fn creation(
    context: &DriveContext,
    order: &Order,
    request: &CreatePayment,
    route: &Route,
) -> NewOperation {
    let environment = &context.environment;
    let payment = Payment::new(
        request.clone(),
        Origin {
            id: environment.new_id(),
            merchant_id: order.scope.merchant_id,
            mode: order.scope.mode,
            idempotency_key: order.scope.key.clone(),
            provider: route.provider.profile().name.clone(),
            created_at: environment.now(),
        },
    );
    let id = environment.new_id();
    let draft = Draft {
        operation_id: id,
        kind: OperationKind::Create,
        idempotency_key: &order.scope.key,
        fingerprint: Fingerprint::of(&order.canonical),
        money: payment.money,
    };
    let to = provider_route(route, &order.scope, &payment, draft);
    let amount = payment.money.minor();
    NewOperation {
        operation: opened(context, order, &payment, (id, draft.kind, amount), to),
        payment,
        lease: context.settings.lease,
    }
}

/// The intent of a capture, cancel or refund of `payment`, at the provider that took it.
pub(super) fn follow_up(
    context: &DriveContext,
    order: &Order,
    asked: &FollowUp,
    payment: &Payment,
    route: &Route,
) -> NewFollowUp {
    let (id, kind) = (context.environment.new_id(), asked.kind);
    let amount = match (kind, asked.amount) {
        (OperationKind::Cancel, _) => 0,
        (_, Some(amount)) => amount,
        (_, None) => payment.available(kind),
    };
    let money = match kind {
        OperationKind::Cancel => payment.money,
        _ => payment.money.part(amount),
    };
    let draft = Draft {
        operation_id: id,
        kind,
        idempotency_key: &order.scope.key,
        fingerprint: Fingerprint::of(&order.canonical),
        money,
    };
    let to = provider_route(route, &order.scope, payment, draft);
    NewFollowUp {
        operation: opened(context, order, payment, (id, kind, amount), to),
        lease: context.settings.lease,
    }
}

fn opened(
    context: &DriveContext,
    order: &Order,
    payment: &Payment,
    (id, kind, amount): (OperationId, OperationKind, i64),
    route: ProviderRoute,
) -> Operation {
    Operation::open(Opening {
        id,
        payment_id: payment.id,
        scope: order.scope.clone(),
        kind,
        fingerprint: Fingerprint::of(&order.canonical),
        request_id: order.request_id,
        owner: context.environment.new_owner(),
        route,
        amount,
        created_at: context.environment.now(),
    })
}

/// The next provider for a payment that was certainly sent to none of `refused_by`.
pub(super) fn failover_route(
    context: &DriveContext,
    standing: &Standing,
    refused_by: &[String],
) -> Option<ProviderRoute> {
    let operation = &standing.operation;
    let next = context.route_beside(operation.mode, refused_by)?;
    let scope = Scope {
        merchant_id: operation.merchant_id,
        mode: operation.mode,
        key: operation.idempotency_key.clone(),
    };
    let draft = Draft {
        operation_id: operation.id,
        kind: operation.kind,
        idempotency_key: &operation.idempotency_key,
        fingerprint: operation.fingerprint,
        money: standing.payment.money,
    };
    Some(provider_route(next, &scope, &standing.payment, draft))
}

fn provider_route(
    route: &Route,
    scope: &Scope,
    payment: &Payment,
    draft: Draft<'_>,
) -> ProviderRoute {
    let profile = route.provider.profile();
    ProviderRoute {
        provider: profile.name.clone(),
        account: profile.account.clone(),
        api_version: profile.api_version.clone(),
        key: provider_key(
            scope.merchant_id,
            scope.mode,
            &scope.key,
            draft.kind,
            &profile.name,
        ),
        request: route.provider.prepare(payment, draft),
    }
}
