import { Box, Button, PasswordInput, Stack, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import type { SupabaseClient } from '@supabase/supabase-js'
import { useState } from 'react'
import { Notice } from '../components/Notice'
import { useTitle } from '../components/title'

/** Asks who uses the page. Accounts are made by whoever runs the project, in Supabase Auth. */
export function SignIn({ db }: { db: SupabaseClient }) {
  useTitle('Sign in')
  const [fault, setFault] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const form = useForm({
    initialValues: { email: '', password: '' },
    validate: {
      email: (text) => (text.includes('@') ? null : 'Enter the e-mail address of your account.'),
      password: (text) => (text ? null : 'Enter your password.'),
    },
  })
  const submit = form.onSubmit(async (values) => {
    setBusy(true)
    setFault(null)
    const { error } = await db.auth.signInWithPassword(values)
    setBusy(false)
    if (error) setFault(signInFault(error.status ?? 0, error.code ?? '', error.message))
  })
  return (
    <Box className="panel" p="lg" maw={420} mx="auto" mt="xl">
      <form onSubmit={submit} noValidate>
        <Stack>
          <Title order={1} size="h2">
            Sign in
          </Title>
          {fault && (
            <Notice kind="error" title="You are not signed in">
              {fault}
            </Notice>
          )}
          <TextInput label="E-mail address" type="email" autoComplete="username" {...form.getInputProps('email')} />
          <PasswordInput label="Password" autoComplete="current-password" {...form.getInputProps('password')} />
          <Button type="submit" loading={busy}>
            Sign in
          </Button>
        </Stack>
      </form>
    </Box>
  )
}

/** Why somebody could not sign in, in a sentence. */
export function signInFault(status: number, code: string, message: string): string {
  if (code === 'invalid_credentials') return 'The address or the password is not right.'
  if (code === 'email_not_confirmed')
    return 'The address is not confirmed yet: open the link in the message that came to it.'
  if (status === 429) return 'You tried too often: wait a minute.'
  if (status === 0) return 'Supabase cannot be reached: check your connection, and try again.'
  if (status === 404) return 'This Supabase project has no sign-in: whoever runs the page can set CONSOLE_SIGN_IN=none.'
  if (status === 401)
    return `Supabase refuses the key of this page ("${message}"): whoever runs it has to set SUPABASE_PUBLISHABLE_KEY.`
  return `Supabase says "${message}".`
}
