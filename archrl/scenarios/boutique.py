"""Online Boutique, the microservices demo of Google: 11 services, as a call graph for the mix of its load generator.

Source: GoogleCloudPlatform/microservices-demo, README.md, section "Architecture" (services and who calls whom);
`src/frontend/handlers.go` and `rpc.go`, `src/checkoutservice/main.go`, `src/recommendationservice` and
`src/cartservice` (calls of each request, one after the other); `src/loadgenerator/locustfile.py` (mix). Apache-2.0.

Calls per request are **derived, not measured**. A user of the load generator does one of six tasks, with the weights
index 1, setCurrency 2, browseProduct 10, addToCart 2, viewCart 3, checkout 1. Redirects are followed (a new currency
leads to the home page, a filled cart to the cart page), and a checkout first fills the cart. So 19 tasks are 28
requests to the frontend, of each kind as many as `page_counts()` says. What one request calls is in `CALLS`, where

* the catalogue has 9 products, and the home page converts the price of each;
* recommendations name 5 products, and the frontend looks up each;
* a cart that is shown or paid has `CART_ITEMS` items;
* the cart service reads or writes redis-cart once per call, but for adding an item: it reads, then writes.
"""

from __future__ import annotations

from collections import defaultdict

from archrl.scenarios.service_graph import ServiceGraph
from archrl.scenarios.service_graph_build import Edge, build_graph

PRODUCTS = 9
RECOMMENDED = 5
CART_ITEMS = 1
TASKS = {"index": 1, "setCurrency": 2, "browseProduct": 10, "addToCart": 2, "viewCart": 3, "checkout": 1}
"""Weight of each task of the load generator."""
TASK_PAGES: dict[str, tuple[str, ...]] = {
    "index": ("home",),
    "setCurrency": ("set_currency", "home"),
    "browseProduct": ("product",),
    "addToCart": ("product", "add_to_cart", "view_cart"),
    "viewCart": ("view_cart",),
    "checkout": ("product", "add_to_cart", "view_cart", "place_order"),
}
"""Requests to the frontend that a task makes, redirects included."""
SERVICES = (
    *("frontend", "checkoutservice", "recommendationservice", "productcatalogservice", "currencyservice"),
    *("cartservice", "adservice", "shippingservice", "paymentservice", "emailservice", "redis-cart"),
)
CALLS: dict[str, dict[str, int]] = {
    "home": {"currencyservice": 1 + PRODUCTS, "productcatalogservice": 1, "cartservice": 1, "adservice": 1},
    "set_currency": {},
    "product": {
        "productcatalogservice": 1 + RECOMMENDED,
        "currencyservice": 2,
        "cartservice": 1,
        "recommendationservice": 1,
        "adservice": 1,
    },
    "add_to_cart": {"productcatalogservice": 1, "cartservice": 1},
    "view_cart": {
        "currencyservice": 2 + CART_ITEMS,
        "cartservice": 1,
        "recommendationservice": 1,
        "productcatalogservice": RECOMMENDED + CART_ITEMS,
        "shippingservice": 1,
    },
    "place_order": {
        "checkoutservice": 1,
        "recommendationservice": 1,
        "productcatalogservice": RECOMMENDED,
        "currencyservice": 1,
    },
}
"""Calls of the frontend in one request of each kind."""
CHECKOUT_CALLS = {
    "cartservice": 2,
    "productcatalogservice": CART_ITEMS,
    "currencyservice": 1 + CART_ITEMS,
    "shippingservice": 2,
    "paymentservice": 1,
    "emailservice": 1,
}
"""Calls of the checkout service in one order: it reads and empties the cart, asks for a quote and ships."""


def page_counts() -> dict[str, int]:
    """Requests to the frontend of each kind in as many tasks as the weights sum to."""
    counts: dict[str, int] = dict.fromkeys(CALLS, 0)
    for task, weight in TASKS.items():
        for page in TASK_PAGES[task]:
            counts[page] += weight
    return counts


def boutique_graph() -> ServiceGraph:
    """The call graph; a request is one to the frontend, of the mean kind of the mix."""
    pages = page_counts()
    requests = sum(pages.values())
    total: dict[str, int] = defaultdict(int)
    for page, count in pages.items():
        for callee, calls in CALLS[page].items():
            total[callee] += count * calls
    order = [*CALLS["product"], "shippingservice", "checkoutservice"]
    edges = [Edge("frontend", callee, total[callee] / requests, stage) for stage, callee in enumerate(order)]
    edges += [Edge("checkoutservice", name, calls, stage) for stage, (name, calls) in enumerate(CHECKOUT_CALLS.items())]
    edges.append(Edge("recommendationservice", "productcatalogservice"))
    cart_calls = total["cartservice"] + pages["place_order"] * CHECKOUT_CALLS["cartservice"]
    edges.append(Edge("cartservice", "redis-cart", (cart_calls + pages["add_to_cart"]) / cart_calls))
    return build_graph(SERVICES, edges, kinds={"redis-cart": "redis"}, stateful=("redis-cart",))
