// The people's queue in a real browser, over the example `expenses`, which asks six questions and waits for the answers.

import { expect, test } from '@playwright/test';

test.skip(!process.env.EDDYLINE_PEOPLE_URL, 'EDDYLINE_PEOPLE_URL says where a workflow asks people');
test.use({ baseURL: process.env.EDDYLINE_PEOPLE_URL });

test('questions are answered with the keyboard, the mouse and over HTTP', async ({ page }) => {
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  await page.goto('/#people');
  const questions = page.getByTestId('question');
  await expect(questions).toHaveCount(6);
  await expect(page.getByTestId('people-waiting')).toHaveText('6');
  await expect(questions.first()).toHaveAttribute('aria-current', 'true');
  await expect(questions.first()).toContainText('Which account is "Parking at the hotel" for 15.00?');

  // The second candidate of the first question.
  await page.keyboard.press('2');
  await expect(questions).toHaveCount(5);

  // The next but one is rejected, and is then in quarantine.
  await page.keyboard.press('ArrowDown');
  await expect(questions.nth(1)).toHaveAttribute('aria-current', 'true');
  await page.keyboard.press('r');
  await expect(questions).toHaveCount(4);
  await expect(page.getByTestId('faults-total')).toHaveText('1');

  await questions.nth(3).getByRole('button', { name: 'travel' }).click();
  await expect(questions).toHaveCount(3);

  // What somebody else answers goes away by itself.
  const { questions: left } = await (await page.request.get('/api/questions')).json();
  const answer = await page.request.post(`/api/questions/${left[0].node}/${left[0].number}`, { data: { choose: 0 } });
  expect(answer.status()).toBe(202);
  await expect(questions).toHaveCount(2);
  await expect(page.getByTestId('people-waiting')).toHaveText('2');

  await page.goto('/#graph');
  const desk = page.locator('[data-role="desk"]');
  await expect(desk).toContainText('2 waiting');
  await desk.click();
  await expect(page.getByTestId('inspector')).toContainText('Questions');
  for (const name of ['records', 'roots']) {
    await expect(page.getByTestId(`balance-${name}`)).toHaveAttribute('data-holds', 'true');
  }
  expect(wrong).toEqual([]);
});
