// The page in a real browser, over a workflow that is running: see playwright.config.ts for where.

import { expect, test, type Page } from '@playwright/test';

const open = async (page: Page, hash = '') => {
  await page.goto(`/${hash}`);
  await expect(page.getByTestId('graph')).toBeVisible();
};

/** What all edges and nodes have seen so far. */
const recordsSeen = async (page: Page) => {
  const numbers = await page
    .locator('[data-testid^="node-"], [data-testid^="edge-"]')
    .evaluateAll((all) => all.map((one) => Number(one.getAttribute('data-records'))));
  return numbers.reduce((sum, number) => sum + number, 0);
};

const theme = (page: Page) => page.evaluate(() => document.documentElement.dataset.theme);

test('the graph is shown, with its nodes, edges and at least one eddy', async ({ page }) => {
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  await open(page);
  for (const role of ['source', 'sink', 'handler', 'feedback']) {
    await expect(page.locator(`[data-role="${role}"]`).first()).toBeVisible();
  }
  expect(await page.locator('.back-edge').count()).toBeGreaterThan(0);

  // Eddies run above the stream: the highest point of one is above the nodes that it passes.
  const eddy = await page.locator('.back-edge').first().boundingBox();
  const handler = await page.locator('[data-role="feedback"]').first().boundingBox();
  expect(eddy!.y).toBeLessThan(handler!.y);
  expect(wrong).toEqual([]);
});

test('no two nodes overlap and none is cut', async ({ page }) => {
  for (const size of [{ width: 1440, height: 900 }, { width: 1024, height: 700 }]) {
    await page.setViewportSize(size);
    await open(page);
    const pane = (await page.getByTestId('graph').boundingBox())!;
    const nodes = page.locator('[data-testid^="node-"]');
    const boxes = (await Promise.all((await nodes.all()).map((node) => node.boundingBox()))).map((box) => box!);
    for (const [i, a] of boxes.entries()) {
      expect(a.x).toBeGreaterThanOrEqual(pane.x - 1);
      expect(a.x + a.width).toBeLessThanOrEqual(pane.x + pane.width + 1);
      for (const b of boxes.slice(i + 1)) {
        const apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
        expect(apart).toBe(true);
      }
    }
  }
});

test('counts change between two moments', async ({ page }) => {
  await open(page);
  await expect.poll(() => recordsSeen(page)).toBeGreaterThan(0);
  const before = await recordsSeen(page);
  await expect.poll(() => recordsSeen(page)).toBeGreaterThan(before);
});

test('an operator and the whole run can be paused and resumed', async ({ page }) => {
  await open(page);
  await page.locator('[data-role="handler"]').first().click();
  const one = page.getByTestId('pause-node');
  await one.click();
  await expect(one).toHaveText('Resume');
  await expect(page.getByTestId('inspector')).toContainText('paused');
  await one.click();
  await expect(one).toHaveText('Pause');

  const all = page.getByTestId('pause');
  await all.click();
  await expect(page.getByTestId('state')).toHaveText('paused');
  await all.click();
  await expect(page.getByTestId('state')).toHaveText('running');
  const before = await recordsSeen(page);
  await expect.poll(() => recordsSeen(page)).toBeGreaterThan(before);
});

test('both balances hold and their fates can be opened', async ({ page }) => {
  await open(page);
  for (const name of ['records', 'roots']) {
    const balance = page.getByTestId(`balance-${name}`);
    await expect(balance).toHaveAttribute('data-holds', 'true');
    await balance.click();
    await expect(page.getByTestId('inspector')).toContainText('created = ended + in flight');
  }
});

test('devices show reservations, and those of retries among them', async ({ page }) => {
  await page.goto('/#devices');
  await expect(page.getByTestId('memory').first()).toHaveText(/\d [kM]?B of \d+(\.\d+)? GB/);
  await expect(page.getByTestId('reservation').first()).toBeVisible();
  const retries = page.locator('[data-testid="reservation"]:not([data-retries="0"])');
  await expect.poll(() => retries.count(), { timeout: 30_000 }).toBeGreaterThan(0);
});

test('faults are listed by reason, or the view says what it will show', async ({ page }) => {
  await page.goto('/#faults');
  await expect(page.getByTestId('reason').or(page.getByTestId('empty')).first()).toBeVisible();
});

test('a record in quarantine tells what happened to it, and leads to what it was made of', async ({ page }) => {
  await page.goto('/#faults');
  await page.getByTestId('fault-record').first().click();
  await expect(page).toHaveURL(/#faults\/record\//);
  const lives = page.getByTestId('life');
  await expect(lives.first()).toContainText(/rejected|spent/);
  await expect(lives.filter({ hasText: 'came in' }).first()).toBeVisible();

  const others = lives.locator('h3 button');
  if (await others.count()) {
    const name = await others.first().innerText();
    await others.first().click();
    await expect(page.getByTestId('inspector').locator('h2')).toHaveText(name);
  }
});

test('a record that nobody knows is said to be unknown', async ({ page }) => {
  await page.goto('/#faults/record/made-281474976710655');
  await expect(page.getByTestId('history-trouble')).toBeVisible();
});

test('faults are looked through by reason, and come back into the run', async ({ page }) => {
  await page.goto('/#faults');
  const faults = page.getByTestId('fault');
  await expect(faults.first()).toBeVisible({ timeout: 30_000 });
  await page.getByTestId('by-text').fill('no such reason');
  await expect(faults).toHaveCount(0);
  await page.getByTestId('by-text').fill('');
  await expect(faults.first()).toBeVisible();

  // The oldest of the page, since new ones come above it.
  const name = (await faults.last().getByRole('checkbox').getAttribute('aria-label')) ?? '';
  await page.getByRole('checkbox', { name, exact: true }).check();
  await page.getByTestId('replay-chosen').click();
  await expect(page.getByTestId('replay-said')).toHaveText('1 came back');
  const id = Number(name.replace('Choose fault ', ''));
  await expect
    .poll(async () => {
      const answer = await page.request.get(`/api/quarantine?before=${id + 1}&most=1`);
      return (await answer.json()).faults[0].replays[0]?.fate;
    })
    .toBeTruthy();
});

test('a picture in a value is shown small, and as large as it is once it is pressed', async ({ page }) => {
  await page.goto('/#faults');
  const drawn = (width: number) =>
    page.evaluate((width) => Object.assign(document.createElement('canvas'), { width, height: width / 2 }).toDataURL(), width);
  const [small, whole] = [await drawn(60), await drawn(300)];
  // The values of this workflow have no pictures: the server's answers are given some.
  await page.route('**/api/quarantine?*', async (route) => {
    const { faults, ...rest } = await (await route.fetch()).json();
    await route.fulfill({ json: { ...rest, faults: faults.map((fault: object) => ({ ...fault, value: { scan: small, page: 3 } })) } });
  });
  await page.route(/api\/quarantine\/\d+$/, async (route) => {
    await route.fulfill({ json: { ...(await (await route.fetch()).json()), value: { scan: whole, page: 3 } } });
  });

  const fault = page.getByTestId('fault').first();
  const picture = fault.getByTestId('picture');
  const width = () => picture.locator('img').evaluate((img: HTMLImageElement) => img.naturalWidth);
  await expect(fault.locator('code.value')).toHaveText('{"scan":"▣","page":3}', { timeout: 30_000 });
  await expect(picture).toHaveAttribute('aria-pressed', 'false');
  expect(await width()).toBe(60);
  // New faults would come above it and move it away.
  const pause = page.getByTestId('pause');
  await pause.click();
  await expect(page.getByTestId('state')).toHaveText('paused');
  await picture.click();
  await expect(picture).toHaveAttribute('aria-pressed', 'true');
  await expect.poll(width).toBe(300);
  await picture.click();
  await expect.poll(width).toBe(60);
  await pause.click();
});

test('the theme can be changed and is kept', async ({ page }) => {
  await open(page);
  const before = await theme(page);
  await page.getByTestId('theme').click();
  await expect.poll(() => theme(page)).not.toBe(before);
  await page.reload();
  await expect.poll(() => theme(page)).not.toBe(before);
});

test('the keyboard opens a node, the URL keeps it, Esc closes it', async ({ page }) => {
  await open(page);
  const handler = page.locator('[data-role="handler"]').first();
  await handler.focus();
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('inspector')).toContainText('Verdicts');
  expect(page.url()).toContain('#graph/node/');

  await page.reload();
  await expect(page.getByTestId('inspector')).toContainText('Verdicts');
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('inspector')).toHaveCount(0);
  expect(page.url()).not.toContain('/node/');

  const edge = page.locator('.back-edge').first();
  await edge.focus();
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('inspector')).toContainText('back edge');
});

test('nothing moves for those who asked for no motion', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await open(page);
  const names = await page.locator('.flow').evaluateAll((all) => all.map((one) => getComputedStyle(one).animationName));
  expect(new Set(names)).toEqual(new Set(['none']));
});

test('when the server is gone the last state stays, says since when, and comes back by itself', async ({ page }) => {
  // A stream that ends after one look, as that of a dying server does.
  await page.route('**/api/events', async (route) => {
    const [graph, snapshot] = await Promise.all(
      ['graph', 'snapshot'].map(async (name) => (await page.request.get(`/api/${name}`)).text()),
    );
    const body = `event: graph\ndata: ${graph}\n\nevent: snapshot\ndata: ${snapshot}\n\n`;
    await route.fulfill({ contentType: 'text/event-stream', body });
  });
  await open(page);
  await expect(page.getByTestId('gone')).toContainText('since');
  await expect(page.getByTestId('gone')).toContainText('This is the last state');
  await expect(page.getByTestId('graph')).toBeVisible();
  await page.unroute('**/api/events');
  await expect(page.getByTestId('gone')).toHaveCount(0);
  const before = await recordsSeen(page);
  await expect.poll(() => recordsSeen(page)).toBeGreaterThan(before);
});
