// A run that only who says its token may steer, in a real browser: the example `expenses`, started with EDDYLINE_TOKEN=a-river-7.

import { expect, test } from '@playwright/test';

test.skip(!process.env.EDDYLINE_TOKEN_URL, 'EDDYLINE_TOKEN_URL says where a workflow asks for the token `a-river-7`');
test.use({ baseURL: process.env.EDDYLINE_TOKEN_URL });

test('who steers says the token once, and who does not looks on', async ({ page }) => {
  expect((await page.request.post('/api/pause')).status()).toBe(401);

  await page.goto('/#people');
  const questions = page.getByTestId('question');
  const token = page.getByTestId('token');
  await expect(questions).toHaveCount(6);
  await expect(token).toBeHidden();

  await page.keyboard.press('1');
  await expect(token).toBeVisible();
  await token.getByRole('button', { name: 'Do not steer' }).click();
  await expect(token).toBeHidden();
  await expect(questions).toHaveCount(6);

  await page.keyboard.press('1');
  await token.getByLabel('Token').fill('a-river-8');
  await page.keyboard.press('Enter');
  await expect(token).toContainText('That is not its token');
  await token.getByLabel('Token').fill('a-river-7');
  await page.keyboard.press('Enter');
  await expect(token).toBeHidden();
  await expect(questions).toHaveCount(5);

  // It is kept as long as the tab is open.
  await page.reload();
  await expect(questions).toHaveCount(5);
  await page.keyboard.press('1');
  await expect(questions).toHaveCount(4);
  await expect(token).toBeHidden();
});
