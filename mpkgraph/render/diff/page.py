"""What a page of a diff looks like: style and the little script that filters rows."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark;
  --bg:#fff; --fg:#1f2328; --soft:#59636e; --line:#d1d9e0; --band:#f6f8fa;
  --green:#dafbe1; --red:#ffebe9; --amber:#fff3c4; --pale:#fffaeb;
  --green-ink:#116329; --red-ink:#a40e26; --amber-ink:#7d4e00; }
@media (prefers-color-scheme: dark) { :root {
  --bg:#0d1117; --fg:#e6edf3; --soft:#9198a1; --line:#3d444d; --band:#151b23;
  --green:#12261e; --red:#2d1214; --amber:#2e2511; --pale:#1d1a12;
  --green-ink:#56d364; --red-ink:#ff8182; --amber-ink:#e3b341; } }
* { box-sizing:border-box }
body { margin:0; font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
  background:var(--bg); color:var(--fg) }
main { max-width:1280px; margin:0 auto; padding:20px }
h1 { font-size:20px; margin:0 0 4px }
h2 { font-size:16px; margin:32px 0 8px; border-bottom:1px solid var(--line); padding-bottom:4px }
h2 small, .soft { color:var(--soft); font-weight:normal }
code, .mono, td, .rows dd { font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
  font-size:12px; overflow-wrap:anywhere }
.sides { display:grid; grid-template-columns:auto 1fr; gap:0 12px; margin:8px 0 }
.headline { font-size:15px; padding:8px 12px; border-radius:6px; background:var(--amber);
  color:var(--amber-ink); margin:12px 0 }
.headline.equal { background:var(--green); color:var(--green-ink) }
details.change { border:1px solid var(--line); border-radius:6px; margin:8px 0;
  background:var(--bg) }
details.change > summary { padding:6px 12px; cursor:pointer; border-radius:6px }
details.added > summary { background:var(--green) }
details.removed > summary { background:var(--red) }
details.changed > summary, details.moved > summary, details.split > summary,
details.fused > summary { background:var(--amber) }
.sign { font-family:ui-monospace,monospace; font-weight:bold }
summary .sign { display:inline-block; width:1.2em }
td.sign { width:28px; text-align:center } td.label { min-width:150px }
td.sign a { color:inherit; text-decoration:none }
.rows { display:grid; grid-template-columns:minmax(70px,max-content) 1fr; gap:2px 14px;
  margin:8px 14px 10px }
.rows dt { color:var(--soft); font-size:12px } .rows dd { margin:0 }
.rows .own { color:var(--fg); font-weight:600 }
table { border-collapse:collapse; width:100% } th { text-align:left; color:var(--soft);
  font-weight:normal; font-size:12px; padding:2px 8px }
td { padding:2px 8px; border-top:1px solid var(--line); vertical-align:top }
.side-by-side td { width:50% } .side-by-side td.sign { width:28px }
.side-by-side tbody.gap td { color:var(--soft); background:var(--band); text-align:center;
  cursor:pointer; font-family:inherit }
tr.added td { background:var(--green) } tr.removed td { background:var(--red) }
tr.changed td { background:var(--amber) } tr.tensors td { background:var(--pale) }
tr.added td:first-child, tr.removed td:last-child { background:var(--band) }
.num { text-align:right } .worse { color:var(--red-ink) } .better { color:var(--green-ink) }
.tools { display:flex; gap:14px; align-items:center; margin:8px 0; flex-wrap:wrap }
input[type=search] { padding:4px 8px; border:1px solid var(--line); border-radius:6px;
  background:var(--bg); color:var(--fg); min-width:220px }
@media (max-width:700px) { main { padding:12px } }
@media print { .tools { display:none } }
"""

SCRIPT = """
for (const section of document.querySelectorAll('section.rank')) {
  const search = section.querySelector('input[type=search]');
  const all = section.querySelector('input[type=checkbox]');
  const bodies = [...section.querySelectorAll('.side-by-side tbody')];
  const show = () => {
    const text = search.value.toLowerCase();
    for (const body of bodies) {
      const gap = body.classList.contains('gap'), same = body.classList.contains('same');
      if (gap) { body.hidden = all.checked || !!text || body.dataset.open === '1'; continue; }
      let any = false;
      for (const row of body.rows) {
        row.hidden = !!text && !row.textContent.toLowerCase().includes(text);
        any = any || !row.hidden;
      }
      body.hidden = !any || (same && !text && !all.checked && body.dataset.open !== '1');
    }
  };
  for (const body of bodies) if (body.classList.contains('gap'))
    body.addEventListener('click', () => {
      body.dataset.open = body.nextElementSibling.dataset.open = '1'; show(); });
  search.addEventListener('input', show); all.addEventListener('change', show); show();
}
"""
