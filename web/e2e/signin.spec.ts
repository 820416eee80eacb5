import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { account, checkUsable, test as demo, expect, startJob } from './fixtures'

/** The demo's account, as hack/demo/page.go has it. */
const ann = { email: 'ann@example.com', password: 'sound-check' }

/** The page as cmd/console serves it with its own defaults, before the demo's project: people have to sign in. */
const test = demo.extend<object, { console: string }>({
  console: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads what a fixture needs from its first parameter
    async ({}, use, { project }) => {
      const config = await (await fetch(`${project.use.baseURL}/config.json`)).json()
      const program = `${project.outputDir}/console`
      await promisify(execFile)('go', ['build', '-o', program, '../cmd/console'])
      const running = spawn(program, ['--listen=127.0.0.1:0'], {
        env: { SUPABASE_URL: config.supabaseUrl, SUPABASE_PUBLISHABLE_KEY: config.publishableKey },
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      const [line] = await once(createInterface(running.stderr), 'line')
      const { address } = JSON.parse(line)
      await use(`http://${address}`)
      running.kill()
      await once(running, 'exit')
    },
    { scope: 'worker', timeout: 300_000 }, // where it was never compiled
  ],
  baseURL: ({ console }, use) => use(console),
})

test('people sign in with Supabase Auth, do what their account may, and sign out', async ({ page, request }) => {
  const config = await (await request.get('/config.json')).json()
  expect(config).toMatchObject({ signIn: 'supabase' })
  expect(config).not.toHaveProperty('accessToken')
  await page.goto('/jobs/5b0c6f0e-0000-4000-8000-00000000dead')
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await expect(page.getByRole('link', { name: 'New job' })).toBeHidden()
  await checkUsable(page)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByText('Enter the e-mail address of your account.')).toBeVisible()
  await page.getByLabel('E-mail address').fill(ann.email)
  await page.getByRole('textbox', { name: 'Password' }).fill('wrong')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('alert')).toContainText('The address or the password is not right.')
  await checkUsable(page)
  await page.getByRole('textbox', { name: 'Password' }).fill(ann.password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('heading', { name: 'No such job' })).toBeVisible() // where the address led
  await expect(page.getByText(ann.email)).toBeVisible()

  // She sees all jobs, and stops her own only.
  await page.goto('/?search=dead-modem') // a page that is loaded anew goes on with the sign-in
  await page.getByRole('link', { name: 'dead-modem' }).click()
  await page.getByRole('button', { name: 'Cancel job' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click()
  const refused = page.getByRole('alert', { name: 'The job was not cancelled' })
  await expect(refused).toContainText('only whoever started it may, and a supervisor')
  await startJob(page, { account: account('signed-in'), cadence: 1, minutes: 60 })
  await expect(page.getByRole('listitem').filter({ hasText: 'answered in' })).not.toHaveCount(0)
  await page.getByRole('button', { name: 'Cancel job' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click()
  await expect(page.getByText('cancelled', { exact: true })).toBeVisible()

  const sent = page.waitForRequest(/\/rest\/v1\/jobs/)
  await page.getByRole('link', { name: 'Jobs', exact: true }).click()
  const { authorization = '' } = (await sent).headers()
  const session = () =>
    request.get(`${config.supabaseUrl}/auth/v1/user`, { headers: { apikey: config.publishableKey, authorization } })
  expect(await (await session()).json()).toMatchObject({ email: ann.email })
  await expect(page.getByRole('table')).toBeVisible()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await expect(page.getByRole('table')).toBeHidden()
  expect((await session()).status()).toBe(403) // not only the page forgot it
  await page.reload()
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
})
