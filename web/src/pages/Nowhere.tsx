import { Title } from '@mantine/core'
import { Link } from 'react-router'
import { useTitle } from '../components/title'

export function Nowhere() {
  useTitle('No such page')
  return (
    <>
      <Title order={1}>No such page</Title>
      <p>
        There is nothing at this address. <Link to="/">Go to the jobs.</Link>
      </p>
    </>
  )
}
