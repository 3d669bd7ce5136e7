"""What the dashboards show. Every query names metrics that a gateway has; a live test asks them of a real Prometheus."""

from deployments.grafana.build import Board, Panel, Query

RATE = "[$__rate_interval]"
OF = '{model=~"$model"}'


def one(title: str, unit: str, expr: str, legend: str, about: str = "") -> Panel:
    return Panel(title, unit, (Query(expr, legend),), about)


def total(metric: str, by: str, labels: str = OF) -> str:
    """Per second."""
    return f"sum by ({by}) (rate({metric}{labels}{RATE}))"


def quantiles(title: str, metric: str, by: str = "model", about: str = "", *, exemplar: bool = True) -> Panel:
    """Median and 95th percentile of a histogram of seconds."""
    lines = tuple(
        Query(
            f"histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket{OF}{RATE})))",
            f"p{round(100 * q)} {{{{{by}}}}}",
            exemplar,
        )
        for q in (0.5, 0.95)
    )
    return Panel(title, "s", lines, about)


def ratio(part: str, whole: str, by: str) -> str:
    return f"{total(part, by)} / ({total(whole, by)} > 0)"


FIRST_TOKEN = quantiles("Time to first token", "sluice_time_to_first_token_seconds")
BETWEEN = quantiles(
    "Time between tokens", "sluice_inter_token_seconds", about="As engines step, for every stream.", exemplar=False
)
QUEUE = one("Requests that wait", "short", f"sum by (model, class) (sluice_queue_requests{OF})", "{{model}} {{class}}")

OVERVIEW = Board(
    "sluice-overview",
    "Sluice: overview",
    (
        (
            "Service",
            (
                one("Requests", "reqps", total("sluice_inference_requests_total", "outcome"), "{{outcome}}"),
                one("Errors", "reqps", "sum by (code) (rate(sluice_errors_total[$__rate_interval]))", "{{code}}"),
                one("In flight", "short", "sum(sluice_requests_in_flight)", "HTTP requests"),
                FIRST_TOKEN,
                BETWEEN,
                quantiles("Whole request", "sluice_inference_seconds"),
                one("Tokens generated", "short", total("sluice_completion_tokens_total", "model"), "{{model}}"),
                one("Prompt tokens", "short", total("sluice_prompt_tokens_total", "model"), "{{model}}"),
                one("Error ratio, 5 min", "percentunit", f"model:sluice_error_ratio:rate5m{OF}", "{{model}}"),
            ),
        ),
        (
            "Queue and engines",
            (
                QUEUE,
                one("Oldest that waits", "s", f"max by (model) (sluice_queue_oldest_seconds{OF})", "{{model}}"),
                one("Engines", "short", f"max by (model, state) (sluice_engines{OF})", "{{model}} {{state}}"),
                one(
                    "Engines lost",
                    "short",
                    f"sum by (model) (increase(sluice_engines_lost_total{OF}[1h]))",
                    "{{model}}",
                ),
                one(
                    "Failovers",
                    "short",
                    f"sum by (model, outcome) (increase(sluice_failovers_total{OF}[1h]))",
                    "{{model}} {{outcome}}",
                    "`moved` went on elsewhere; the others ended so.",
                ),
                one(
                    "Traces kept", "cps", "sum by (reason) (rate(sluice_traces_total[$__rate_interval]))", "{{reason}}"
                ),
            ),
        ),
    ),
)

MODEL = Board(
    "sluice-model",
    "Sluice: model",
    (
        (
            "Latency",
            (
                FIRST_TOKEN,
                BETWEEN,
                quantiles("Time per token of a request", "sluice_time_per_output_token_seconds"),
                quantiles("Wait for admission", "sluice_admission_wait_seconds", "class", exemplar=False),
                quantiles("Wait inside the engine", "sluice_engine_queue_seconds", exemplar=False),
                quantiles("Prefill", "sluice_engine_prefill_seconds", exemplar=False),
            ),
        ),
        (
            "Engines",
            (
                one(
                    "Requests in engines",
                    "short",
                    f"max by (engine, state) (sluice_engine_requests{OF})",
                    "{{engine}} {{state}}",
                    "Over all gateways: each tells the same.",
                ),
                one(
                    "KV cache in use", "percentunit", f"max by (engine) (sluice_engine_kv_use_ratio{OF})", "{{engine}}"
                ),
                one(
                    "Tokens to be prefilled",
                    "short",
                    f"max by (engine) (sluice_engine_prefill_tokens{OF})",
                    "{{engine}}",
                ),
                one("Prompt tokens cached", "percentunit", f"model:sluice_prefix_hit_ratio:rate5m{OF}", "{{model}}"),
                one(
                    "Prefix hits as the engine counts them",
                    "percentunit",
                    f"max by (engine) (rate(sluice_engine_prefix_hit_tokens_total{OF}{RATE}))"
                    f" / (max by (engine) (rate(sluice_engine_prefix_tokens_total{OF}{RATE})) > 0)",
                    "{{engine}}",
                    "With `log_stats`, which traces turn on.",
                ),
                one("Hedges", "cps", total("sluice_hedges_total", "model"), "{{model}}"),
            ),
        ),
    ),
)

TENANT = Board(
    "sluice-tenant",
    "Sluice: tiers of tenants",
    (
        (
            "Use",
            (
                one("Requests", "reqps", total("sluice_inference_requests_total", "tier"), "{{tier}}"),
                one("Tokens generated", "short", total("sluice_completion_tokens_total", "tier"), "{{tier}}"),
                one("Prompt tokens", "short", total("sluice_prompt_tokens_total", "tier"), "{{tier}}"),
                quantiles("Time to first token", "sluice_time_to_first_token_seconds", "tier"),
                quantiles("Whole request", "sluice_inference_seconds", "tier"),
                one(
                    "Prompt tokens cached",
                    "percentunit",
                    ratio("sluice_cached_prompt_tokens_total", "sluice_prompt_tokens_total", "tier"),
                    "{{tier}}",
                ),
            ),
        ),
        (
            "Refusals",
            (
                one(
                    "Refused for want of room",
                    "reqps",
                    total("sluice_admission_refused_total", "reason"),
                    "{{reason}}",
                ),
                one(
                    "Not served",
                    "reqps",
                    total("sluice_inference_requests_total", "tier, outcome", '{model=~"$model",outcome!="ok"}'),
                    "{{tier}} {{outcome}}",
                ),
                QUEUE,
            ),
        ),
    ),
)

GUARD = Board(
    "sluice-guard",
    "Sluice: guard",
    (
        (
            "Model extraction",
            (
                one(
                    "Keys by level",
                    "short",
                    "max by (level) (sum by (level, instance) (sluice_guard_level))",
                    "{{level}}",
                    "Above level observe; `sluice guard` tells which, and why.",
                ),
                one(
                    "Actions",
                    "reqps",
                    f"sum by (action) (rate(sluice_guard_actions_total{RATE}))",
                    "{{action}}",
                ),
                one(
                    "Most that one account has",
                    "percentunit",
                    "max by (model) (sluice_guard_leak_share)",
                    "{{model}}",
                    "Share of a model's output layer that its answers have told.",
                ),
                one("Requests looked at", "reqps", f"sum(rate(sluice_guard_seen_total{RATE}))", "looked at"),
                one("Requests not looked at", "reqps", f"sum(rate(sluice_guard_dropped_total{RATE}))", "dropped"),
                one("Guard off", "short", "max(sluice_guard_open_surface)", "open surface"),
            ),
        ),
        (
            "Limits and drift",
            (
                one(
                    "Refused by limits",
                    "reqps",
                    f"sum by (tier, reason) (rate(sluice_limits_refused_total{RATE}))",
                    "{{tier}} {{reason}}",
                ),
                one(
                    "Use of the tightest budget, p95",
                    "percentunit",
                    f"histogram_quantile(0.95, sum by (tier, le) (rate(sluice_budget_used_ratio_bucket{RATE})))",
                    "{{tier}}",
                ),
                one("Stores", "short", "min by (store) (sluice_store_up)", "{{store}}"),
                one("Drift", "short", "max by (model, signal) (sluice_drift_alert)", "{{model}} {{signal}}"),
            ),
        ),
    ),
)

AUTOSCALING = Board(
    "sluice-autoscaling",
    "Sluice: autoscaling",
    (
        (
            "Decisions",
            (
                Panel(
                    "Replicas",
                    "short",
                    tuple(
                        Query(f"max by (model) (sluice_autoscaling_{what}_replicas{OF})", f"{what} {{{{model}}}}")
                        for what in ("target", "ready", "needed")
                    ),
                    "`needed` is before bounds, steps and waiting.",
                ),
                one("Backlog", "s", f"max by (model) (sluice_autoscaling_backlog_seconds{OF})", "{{model}}"),
                one(
                    "Until a new replica serves",
                    "s",
                    f"max by (model) (sluice_autoscaling_startup_seconds{OF})",
                    "{{model}}",
                ),
                one(
                    "Changes",
                    "short",
                    f"max by (model, direction) (increase(sluice_autoscaling_decisions_total{OF}[1h]))",
                    "{{model}} {{direction}}",
                ),
                one(
                    "Reasons",
                    "short",
                    f"max by (model, direction, reason) (rate(sluice_autoscaling_reasons_total{OF}{RATE}))",
                    "{{model}} {{direction}} {{reason}}",
                    "Decisions a second that each kind of reason was given for; direction `none` changes nothing.",
                ),
            ),
        ),
        (
            "What they are made from",
            (
                QUEUE,
                one("Tokens that wait", "short", f"sum by (model) (sluice_queue_tokens{OF})", "{{model}}"),
                one("Engines", "short", f"max by (model, state) (sluice_engines{OF})", "{{model}} {{state}}"),
                one("KV cache in use", "percentunit", f"max by (model) (sluice_engine_kv_use_ratio{OF})", "{{model}}"),
                FIRST_TOKEN,
            ),
        ),
    ),
)

BOARDS = (OVERVIEW, MODEL, TENANT, GUARD, AUTOSCALING)
