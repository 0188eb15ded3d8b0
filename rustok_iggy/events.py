"""RusToK's events: 39 types in the order of RusToK's DomainEvent enum, which is their Postcard variant index.

Source: RusToK's event types; tests/vectors/envelopes.jsonl has one of each as its Rust crates write it. Append only.
A host declares its own in a catalogue of its own, in the same way:

    catalog = EventCatalog("billing", extends=RUSTOK)

    @catalog.event("invoice.paid", version=2)
    class InvoicePaid(Struct, frozen=True, kw_only=True):
        invoice_id: UUID
        amount: I64
"""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

from msgspec import Struct

from rustok_iggy.catalog import EventCatalog, EventSpec
from rustok_iggy.integers import I8, I16, I32, I64, U8, U16, U32, U64

__all__ = [
    "I8",
    "I16",
    "I32",
    "I64",
    "RUSTOK",
    "U8",
    "U16",
    "U32",
    "U64",
    "DomainEvent",
    "EventCatalog",
    "EventSpec",
    "NodeCreated",
    "NodeUpdated",
    "NodeTranslationUpdated",
    "NodePublished",
    "NodeUnpublished",
    "NodeDeleted",
    "BodyUpdated",
    "CategoryCreated",
    "CategoryUpdated",
    "CategoryDeleted",
    "TagCreated",
    "TagAttached",
    "TagDetached",
    "MediaUploaded",
    "MediaDeleted",
    "UserRegistered",
    "UserLoggedIn",
    "UserUpdated",
    "UserDeleted",
    "ProductCreated",
    "ProductUpdated",
    "ProductPublished",
    "ProductDeleted",
    "VariantCreated",
    "VariantUpdated",
    "VariantDeleted",
    "InventoryUpdated",
    "InventoryLow",
    "PriceUpdated",
    "OrderPlaced",
    "OrderStatusChanged",
    "OrderCompleted",
    "OrderCancelled",
    "ReindexRequested",
    "IndexUpdated",
    "TenantCreated",
    "TenantUpdated",
    "LocaleEnabled",
    "LocaleDisabled",
]

DomainEvent: TypeAlias = Struct
"""Any event: an instance of a declared Struct, of RusToK's or of a host's own."""

RUSTOK = EventCatalog("rustok")
"""RusToK's catalogue."""


@RUSTOK.event("node.created")
class NodeCreated(Struct, frozen=True, kw_only=True):
    """`node.created`."""

    node_id: UUID
    kind: str
    author_id: UUID | None = None


@RUSTOK.event("node.updated")
class NodeUpdated(Struct, frozen=True, kw_only=True):
    """`node.updated`."""

    node_id: UUID
    kind: str


@RUSTOK.event("node.translation.updated")
class NodeTranslationUpdated(Struct, frozen=True, kw_only=True):
    """`node.translation.updated`."""

    node_id: UUID
    locale: str


@RUSTOK.event("node.published")
class NodePublished(Struct, frozen=True, kw_only=True):
    """`node.published`."""

    node_id: UUID
    kind: str


@RUSTOK.event("node.unpublished")
class NodeUnpublished(Struct, frozen=True, kw_only=True):
    """`node.unpublished`."""

    node_id: UUID
    kind: str


@RUSTOK.event("node.deleted")
class NodeDeleted(Struct, frozen=True, kw_only=True):
    """`node.deleted`."""

    node_id: UUID
    kind: str


@RUSTOK.event("body.updated")
class BodyUpdated(Struct, frozen=True, kw_only=True):
    """`body.updated`."""

    node_id: UUID
    locale: str


@RUSTOK.event("category.created")
class CategoryCreated(Struct, frozen=True, kw_only=True):
    """`category.created`."""

    category_id: UUID


@RUSTOK.event("category.updated")
class CategoryUpdated(Struct, frozen=True, kw_only=True):
    """`category.updated`."""

    category_id: UUID


@RUSTOK.event("category.deleted")
class CategoryDeleted(Struct, frozen=True, kw_only=True):
    """`category.deleted`."""

    category_id: UUID


@RUSTOK.event("tag.created")
class TagCreated(Struct, frozen=True, kw_only=True):
    """`tag.created`."""

    tag_id: UUID


@RUSTOK.event("tag.attached")
class TagAttached(Struct, frozen=True, kw_only=True):
    """`tag.attached`."""

    tag_id: UUID
    target_type: str
    target_id: UUID


@RUSTOK.event("tag.detached")
class TagDetached(Struct, frozen=True, kw_only=True):
    """`tag.detached`."""

    tag_id: UUID
    target_type: str
    target_id: UUID


@RUSTOK.event("media.uploaded")
class MediaUploaded(Struct, frozen=True, kw_only=True):
    """`media.uploaded`."""

    media_id: UUID
    mime_type: str
    size: I64


@RUSTOK.event("media.deleted")
class MediaDeleted(Struct, frozen=True, kw_only=True):
    """`media.deleted`."""

    media_id: UUID


@RUSTOK.event("user.registered")
class UserRegistered(Struct, frozen=True, kw_only=True):
    """`user.registered`."""

    user_id: UUID
    email: str


@RUSTOK.event("user.logged_in")
class UserLoggedIn(Struct, frozen=True, kw_only=True):
    """`user.logged_in`."""

    user_id: UUID


@RUSTOK.event("user.updated")
class UserUpdated(Struct, frozen=True, kw_only=True):
    """`user.updated`."""

    user_id: UUID


@RUSTOK.event("user.deleted")
class UserDeleted(Struct, frozen=True, kw_only=True):
    """`user.deleted`."""

    user_id: UUID


@RUSTOK.event("product.created")
class ProductCreated(Struct, frozen=True, kw_only=True):
    """`product.created`."""

    product_id: UUID


@RUSTOK.event("product.updated")
class ProductUpdated(Struct, frozen=True, kw_only=True):
    """`product.updated`."""

    product_id: UUID


@RUSTOK.event("product.published")
class ProductPublished(Struct, frozen=True, kw_only=True):
    """`product.published`."""

    product_id: UUID


@RUSTOK.event("product.deleted")
class ProductDeleted(Struct, frozen=True, kw_only=True):
    """`product.deleted`."""

    product_id: UUID


@RUSTOK.event("variant.created")
class VariantCreated(Struct, frozen=True, kw_only=True):
    """`variant.created`."""

    variant_id: UUID
    product_id: UUID


@RUSTOK.event("variant.updated")
class VariantUpdated(Struct, frozen=True, kw_only=True):
    """`variant.updated`."""

    variant_id: UUID
    product_id: UUID


@RUSTOK.event("variant.deleted")
class VariantDeleted(Struct, frozen=True, kw_only=True):
    """`variant.deleted`."""

    variant_id: UUID
    product_id: UUID


@RUSTOK.event("inventory.updated")
class InventoryUpdated(Struct, frozen=True, kw_only=True):
    """`inventory.updated`."""

    variant_id: UUID
    product_id: UUID
    location_id: UUID
    old_quantity: I32
    new_quantity: I32


@RUSTOK.event("inventory.low")
class InventoryLow(Struct, frozen=True, kw_only=True):
    """`inventory.low`."""

    variant_id: UUID
    product_id: UUID
    remaining: I32
    threshold: I32


@RUSTOK.event("price.updated")
class PriceUpdated(Struct, frozen=True, kw_only=True):
    """`price.updated`."""

    variant_id: UUID
    product_id: UUID
    currency: str
    old_amount: I64 | None = None
    new_amount: I64


@RUSTOK.event("order.placed")
class OrderPlaced(Struct, frozen=True, kw_only=True):
    """`order.placed`."""

    order_id: UUID
    customer_id: UUID | None = None
    total: I64
    currency: str


@RUSTOK.event("order.status_changed")
class OrderStatusChanged(Struct, frozen=True, kw_only=True):
    """`order.status_changed`."""

    order_id: UUID
    old_status: str
    new_status: str


@RUSTOK.event("order.completed")
class OrderCompleted(Struct, frozen=True, kw_only=True):
    """`order.completed`."""

    order_id: UUID


@RUSTOK.event("order.cancelled")
class OrderCancelled(Struct, frozen=True, kw_only=True):
    """`order.cancelled`."""

    order_id: UUID
    reason: str | None = None


@RUSTOK.event("index.reindex_requested")
class ReindexRequested(Struct, frozen=True, kw_only=True):
    """`index.reindex_requested`."""

    target_type: str
    target_id: UUID | None = None


@RUSTOK.event("index.updated")
class IndexUpdated(Struct, frozen=True, kw_only=True):
    """`index.updated`."""

    index_name: str
    target_id: UUID


@RUSTOK.event("tenant.created")
class TenantCreated(Struct, frozen=True, kw_only=True):
    """`tenant.created`."""

    tenant_id: UUID


@RUSTOK.event("tenant.updated")
class TenantUpdated(Struct, frozen=True, kw_only=True):
    """`tenant.updated`."""

    tenant_id: UUID


@RUSTOK.event("locale.enabled")
class LocaleEnabled(Struct, frozen=True, kw_only=True):
    """`locale.enabled`."""

    tenant_id: UUID
    locale: str


@RUSTOK.event("locale.disabled")
class LocaleDisabled(Struct, frozen=True, kw_only=True):
    """`locale.disabled`."""

    tenant_id: UUID
    locale: str
