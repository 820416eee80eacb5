import { Box, Button, Group, NumberInput, Radio, Stack, Text, TextInput, Title } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { useNavigate } from 'react-router'
import { Notice } from '../components/Notice'
import { useTitle } from '../components/title'
import { createJob, earlierTry } from '../data/jobs'
import { useAccess } from '../database'
import { Failure, sentenceOf } from '../errors'
import { type Mode, modes, modeText } from '../job'
import { emptyJob, type NewJob, rules } from '../newjob'
import { duration } from '../statistics/words'

const does: Record<Mode, string> = {
  simulated:
    'This browser makes samples up, to try Sound Check without a modem. Nothing is measured. It goes on while one of your pages is open, and catches up when you come back.',
  real_polling:
    'The poller in the company network measures the modem at each cadence until the job ends, whether or not this page is open.',
}

const draftKey = 'soundcheck-new-job'

export function NewJobPage() {
  useTitle('New job')
  const { db, user } = useAccess()
  const navigate = useNavigate()
  const queries = useQueryClient()
  // One id for all tries: a job whose answer was lost is not started twice.
  const [id, setID] = useState(newID)
  // Not when a field is left: the sentence would move the button away from under the pointer.
  const form = useForm<NewJob>({
    initialValues: { ...emptyJob, email: user.email ?? '' },
    validate: rules,
    onValuesChange: keepDraft,
  })
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was typed before is put back once
  useEffect(() => {
    const draft = keptDraft()
    if (draft) form.setValues(draft)
  }, [])
  const create = useMutation({
    mutationFn: (job: NewJob) => createJob(db, job, id, user.id),
    onSuccess: async () => {
      sessionStorage.removeItem(draftKey)
      await queries.invalidateQueries({ queryKey: ['jobs'] })
      navigate(`/jobs/${id}`)
    },
    onError: (error) => {
      if (error instanceof Failure && error.code === earlierTry) setID(newID())
    },
  })
  const unsure = create.error instanceof Failure && create.error.passing
  const { cadenceSeconds, durationMinutes } = form.getValues()
  const slots = Math.ceil((Number(durationMinutes) * 60) / Number(cadenceSeconds))
  const submit = form.onSubmit(
    (job) => create.mutate(job),
    (faults) => form.getInputNode(Object.keys(faults)[0] ?? '')?.focus(),
  )
  return (
    <Box className="panel" p="lg" maw={720} mx="auto">
      <form onSubmit={submit} noValidate aria-label="New job">
        <Stack gap="md">
          <Title order={1} size="h2">
            New job
          </Title>
          <Radio.Group label="Monitoring mode" {...form.getInputProps('mode')}>
            <Stack gap="xs" mt={4}>
              {modes.map((mode) => (
                <Radio key={mode} value={mode} label={modeText[mode]} description={does[mode]} />
              ))}
            </Stack>
          </Radio.Group>
          <TextInput label="Account number" withAsterisk autoComplete="off" {...form.getInputProps('accountNumber')} />
          <TextInput
            label="Target IP"
            withAsterisk={form.getValues().mode === 'real_polling'}
            description="The management address of the modem, IPv4 or IPv6"
            placeholder="10.1.2.3"
            autoComplete="off"
            spellCheck={false}
            {...form.getInputProps('targetIP')}
          />
          <Group grow align="start">
            <NumberInput
              label="Cadence (seconds)"
              withAsterisk
              description="Time between two measurements"
              min={1}
              clampBehavior="none"
              allowDecimal={false}
              allowNegative={false}
              {...form.getInputProps('cadenceSeconds')}
            />
            <NumberInput
              label="Duration (minutes)"
              withAsterisk
              description="How long the job runs"
              min={1}
              clampBehavior="none"
              allowDecimal={false}
              allowNegative={false}
              {...form.getInputProps('durationMinutes')}
            />
          </Group>
          {Number.isFinite(slots) && slots > 0 && (
            <Text size="sm" className="quiet">
              {slots === 1 ? 'One measurement' : `${slots.toLocaleString()} measurements`} in{' '}
              {duration(Number(durationMinutes) * 60_000)}.
            </Text>
          )}
          <TextInput
            label="Notification e-mail"
            description="Who is told when the job has ended; may stay empty"
            type="email"
            autoComplete="email"
            {...form.getInputProps('email')}
          />
          {create.error && (
            <Notice kind="error" title={unsure ? 'The job may not have been started' : 'The job was not started'}>
              {sentenceOf(create.error)} {unsure && 'Try again: it is not started twice. '}What you entered is still
              here.
            </Notice>
          )}
          <Group>
            <Button type="submit" loading={create.isPending}>
              Start job
            </Button>
            <Button variant="default" onClick={() => navigate('/')}>
              Back to the jobs
            </Button>
          </Group>
        </Stack>
      </form>
    </Box>
  )
}

function keepDraft(job: NewJob) {
  try {
    sessionStorage.setItem(draftKey, JSON.stringify(job))
  } catch {
    // Without a store the form is kept for as long as the page is open.
  }
}

function keptDraft(): NewJob | null {
  try {
    const text = sessionStorage.getItem(draftKey)
    return text ? { ...emptyJob, ...(JSON.parse(text) as NewJob) } : null
  } catch {
    return null
  }
}

/** A random UUID, also on a page that did not come by https, where crypto.randomUUID is missing. */
function newID(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
