export const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Prunella</title>
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<header class="top">
  <h1>Prunella</h1>
  <p id="summary" class="summary" aria-live="polite"></p>
  <p id="connection" class="connection" role="status" data-state="connecting">connecting</p>
</header>
<noscript><p class="notice">This page shows live data and needs JavaScript. The same is told by <code>prunella status</code>.</p></noscript>
<form id="login" class="notice" hidden>
  <label for="token">This page needs the token of this node: it stands in <code>.prunella/token</code>, and in the link that <code>prunella up</code> prints.</label>
  <div class="row"><input id="token" type="password" autocomplete="off" spellcheck="false" required><button>Open</button></div>
  <p id="login-error" class="error" role="alert"></p>
</form>
<main id="main" tabindex="-1" hidden>
  <section aria-labelledby="pools-title">
    <h2 id="pools-title">Pools</h2>
    <div id="pools" class="pools"></div>
    <ul id="dependencies" class="dependencies" aria-label="Dependencies"></ul>
  </section>
  <div class="columns">
    <section aria-labelledby="incidents-title">
      <h2 id="incidents-title">Incidents</h2>
      <ol id="incidents" class="incidents"></ol>
    </section>
    <section aria-labelledby="tasks-title">
      <h2 id="tasks-title">Recent tasks</h2>
      <ol id="tasks" class="tasks"></ol>
    </section>
  </div>
</main>
</body>
</html>
`
