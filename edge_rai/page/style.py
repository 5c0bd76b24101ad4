"""How the page looks: light and dark, on a phone, on paper."""

from __future__ import annotations

_LIGHT = (
    "--ink:#1d2329;--soft:#55606b;--rule:#d5dadf;--paper:#fff;--card:#f5f7f8;--mark:#1f6f43;--pale:#a9cfb8;"
    "--warm:#a84300;--warm-pale:#fbe3cf;--grey:#7b8794;"
)
_DARK = (
    "--ink:#e4e8ec;--soft:#a9b4bf;--rule:#38414a;--paper:#14181c;--card:#1c2228;--mark:#55b782;--pale:#2c5c43;"
    "--warm:#f0a05a;--warm-pale:#4a2f18;--grey:#8b97a3;"
)

STYLE = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media(prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{font:1rem/1.5 system-ui,sans-serif;max-width:54rem;margin:0 auto;padding:1.5rem 1rem 3rem;color:var(--ink);
background:var(--paper);overflow-wrap:anywhere;-webkit-text-size-adjust:100%}}
h1{{font-size:1.6rem;line-height:1.25;margin:0}}
h2{{font-size:1.2rem;line-height:1.3;margin:2.6rem 0 .4rem;padding-top:.9rem;border-top:1px solid var(--rule)}}
h3{{font-size:1rem;margin:1.4rem 0 .2rem}}
p{{margin:.4rem 0}}
.about,figcaption,.axis-name,.note,.foot{{color:var(--soft);font-size:.875rem}}
.lead{{background:var(--card);border-left:4px solid var(--mark);padding:.7rem 1rem;margin:1.2rem 0}}
.lead p:first-child{{font-size:1.15rem;font-weight:600;line-height:1.4}}
.lead p{{margin:.2rem 0}}
.lead ul{{margin:.4rem 0 .2rem;padding-left:1.2rem}}
.lead li{{margin:.2rem 0}}
.warnings{{background:var(--card);border-left:4px solid var(--warm);padding:.7rem 1rem;margin:1.2rem 0}}
.warnings h2{{border:0;margin:0;padding:0;font-size:1rem}}
.warnings ul{{margin:.3rem 0 0;padding-left:1.2rem}}
figure{{margin:1rem 0 0}}
figcaption{{margin-bottom:.8rem}}
.row{{margin-top:.7rem;break-inside:avoid}}
.label{{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem;margin:0 0 .1rem;line-height:1.35}}
.name{{font-weight:600}}
.value{{font-variant-numeric:tabular-nums}}
.note{{flex-basis:100%}}
svg{{display:block;overflow:visible}}
svg text{{font:12px system-ui,sans-serif;fill:var(--soft)}}
svg .inside{{fill:var(--paper);font-weight:600;text-anchor:middle}}
path,line{{fill:none;vector-effect:non-scaling-stroke}}
.grid{{stroke:var(--rule);stroke-width:1}}
svg .halo{{paint-order:stroke;stroke:var(--paper);stroke-width:3px}}
.front{{stroke:var(--mark);stroke-width:1.5;stroke-dasharray:4 3}}
.legend{{margin:.6rem 0;padding-left:1.4rem}}
.base{{stroke:var(--grey);stroke-width:1}}
.shape{{fill:var(--pale);stroke:var(--mark);stroke-width:1}}
.band{{fill:var(--pale);stroke:none}}
.curve{{stroke:var(--mark);stroke-width:1.5}}
.mark{{stroke:var(--mark);stroke-width:2}}
.interval{{fill:var(--mark);opacity:.45}}
.wide{{stroke:var(--mark);stroke-width:1.5}}
.thick{{stroke:var(--mark);stroke-width:5}}
.dot{{fill:var(--mark);stroke:var(--paper);stroke-width:1.5}}
.hollow{{fill:var(--paper);stroke:var(--mark);stroke-width:2}}
.bar{{fill:var(--mark)}}
.unsure .thick,.unsure .wide{{stroke:var(--grey)}}
.unsure .dot,.unsure .bar{{fill:var(--grey)}}
.bad .thick,.bad .wide,.cross{{stroke:var(--warm)}}
.bad .dot,.bad .bar{{fill:var(--warm)}}
.cross{{stroke-width:2}}
.whisker{{stroke:var(--ink);stroke-width:1.5}}
.bound{{stroke:var(--warm);stroke-width:1.5;stroke-dasharray:5 4}}
.slow{{fill:var(--warm-pale)}}
.slow-edge{{stroke:var(--warm);stroke-width:2}}
.process{{stroke:var(--grey);stroke-width:1;stroke-dasharray:1 4}}
.axis{{margin-top:.1rem}}
.axis-name{{text-align:center;margin:0}}
details{{margin-top:.8rem}}
summary{{cursor:pointer;color:var(--soft);font-size:.875rem}}
.scroll{{overflow-x:auto;margin:.4rem 0}}
table{{border-collapse:collapse;width:100%;font-size:.8125rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}}
caption{{text-align:left;color:var(--soft);padding-bottom:.2rem}}
th,td{{padding:.25rem .5rem;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}}
th:first-child,td:first-child{{text-align:left;padding-left:0;min-width:8rem;overflow-wrap:anywhere;font-weight:400}}
thead th{{color:var(--soft);font-weight:600}}
.words td{{text-align:left}}
code{{font:.875em ui-monospace,monospace}}
@media(max-width:600px){{td{{white-space:nowrap}}.words td{{white-space:normal}}}}
@media print{{
:root{{{_LIGHT}color-scheme:light;font-size:10pt}}
body{{max-width:none;padding:0;-webkit-print-color-adjust:exact;print-color-adjust:exact}}
h2{{break-after:avoid;margin-top:1.4rem}}
.lead,.warnings,tr{{break-inside:avoid}}
summary{{display:none}}
details::details-content{{content-visibility:visible;block-size:auto}}
.scroll{{overflow:visible}}
table{{font-size:7.5pt}}
th,td{{padding:.15rem .3rem;white-space:normal}}
}}
"""
