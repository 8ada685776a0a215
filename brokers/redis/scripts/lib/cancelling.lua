-- cancelling: a run that has not started is ended at once, one that runs is asked to stop.
-- needs: ends
local function has_begun(run, status)
  -- somebody has taken it, or it was tried before; one that is over has not, for here
  if not status or SETTLED[status] then return false end
  local ticket, retries, crashes = unpack(look(record(run), 'e', 'a', 'c'))
  if status == 'R' or status == 'X' or status == 'B' or has_started(retries, crashes) then return true end
  return status == 'Q' and owner_of(ticket) ~= nil
end

local function cancel_queued(id, ticket, ttl, reason, text)
  if split_ticket(ticket) == '' then error('its ticket is ' .. tostring(ticket)) end
  local consumer = owner_of(ticket)
  if not consumer then
    take_off(ticket)
    return end_now(id, 'K', reason, text, ttl)
  end
  redis.call('HSET', record(id), 's', 'X')
  changed(id, 'X')
  order(consumer, 'cancel', id)
  local supervisor = string.match(consumer, '^(.*)%.')
  if supervisor then order(supervisor, 'cancel', id) end
end

local function cancel_run(id, ttl, reason, text)
  -- returns the status that it had, '?' where it is not known
  if blocks.is_range(id) then return '?' end
  local _, _, letter = blocks.find(id)
  if letter and SETTLED[letter] then return letter end
  local status, ticket = unpack(look(record(id), 's', 'e'))
  if not status or SETTLED[status] then return status or '?' end
  if status == 'Q' or status == 'R' or status == 'X' then
    apart(id, ttl, cancel_queued, id, ticket, ttl, reason, text)
  else
    drop('delayed', id)
    apart(id, ttl, end_now, id, 'K', reason, text, ttl)
  end
  return status
end
