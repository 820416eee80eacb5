import { Button, Group, Modal, Text, Title } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { serverNow } from '../clock'
import { cancelJob } from '../data/jobs'
import { useAccess } from '../database'
import { sentenceOf } from '../errors'
import type { Job } from '../job'
import { Notice } from './Notice'

/** Cancels a job that runs, after whoever asks for it confirmed that. */
export function CancelButton({ job, compact = false }: { job: Job; compact?: boolean }) {
  const { db } = useAccess()
  const queries = useQueryClient()
  const [opened, { open, close }] = useDisclosure(false)
  const cancel = useMutation({
    mutationFn: () => cancelJob(db, job.id, serverNow()),
    onSuccess: close,
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: ['jobs'] }),
        queries.invalidateQueries({ queryKey: ['job', job.id] }),
      ]),
  })
  const shut = () => {
    close()
    cancel.reset()
  }
  return (
    <>
      <Button
        size={compact ? 'compact-sm' : 'sm'}
        variant="default"
        onClick={open}
        aria-label={compact ? `Cancel ${job.account_number}` : undefined}
      >
        {compact ? 'Cancel' : 'Cancel job'}
      </Button>
      {/* Locking the page needs styles that the Content-Security-Policy keeps out. */}
      <Modal.Root opened={opened} onClose={shut} lockScroll={false} centered>
        <Modal.Overlay />
        <Modal.Content aria-label="Cancel this job?">
          <Modal.Body>
            <Title order={2} size="h4" mb="xs">
              Cancel this job?
            </Title>
            <Text>
              The job for account {job.account_number} ends now. What was measured stays. A job that was cancelled
              cannot be started again.
            </Text>
            {cancel.error && (
              <Notice kind="error" title="The job was not cancelled">
                {sentenceOf(cancel.error)}
              </Notice>
            )}
            <Group mt="md" justify="end">
              <Button variant="default" onClick={shut} data-autofocus>
                Let it run
              </Button>
              <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>
                Cancel job
              </Button>
            </Group>
          </Modal.Body>
        </Modal.Content>
      </Modal.Root>
    </>
  )
}
