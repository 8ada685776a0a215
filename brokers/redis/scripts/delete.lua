#!lua flags=allow-oom
-- delete: forget ended runs: record, log, dead letter, artifacts without a key, and the idempotency key; of flow runs also
-- what people see of them.
-- args: { {run, ...}, 1: of dead letters only }; returns: { run, ... } those that were deleted; a run that has not ended
--   is not touched
-- needs: journal keeping run_lists artifacts once
local runs, of_dead = unpack(args)
local only_dead = of_dead == 1
local gone = {}
local FLOW_ENDED = { COMPLETED = true, FAILED = true, CANCELLED = true, CRASHED = true }

local function forget(id, name, upstreams)
  local mine = name and own_key(name, id)
  if mine then redis.call('DEL', mine) end
  if upstreams then needs_no_more(id, upstreams) end
  drop('kept', id)
  unlist_run(id, look(P .. 'f:' .. id, 'deployment')[1])
  redis.call('UNLINK', record(id), P .. 'l:' .. id, P .. 'n:' .. id, P .. 'f:' .. id)
  redis.call('UNLINK', P .. 'inp:' .. id, P .. 'inpkeys:' .. id, P .. 'inpwait:' .. id, P .. 'txn:' .. id)
  release_artifacts(id)
  changed(id, '?')
  gone[#gone + 1] = id
end

local function look_if_over(id, ...)
  -- a call that is open stays in its block
  local _, _, letter = blocks.find(id)
  return unpack(letter and not SETTLED[letter] and { letter } or look(record(id), ...))
end

for _, id in ipairs(runs) do
  local status, name, upstreams = look_if_over(id, 's', 'i', 'u')
  local was_dead = score('dead', id)
  if type(was_dead) ~= 'string' then was_dead = false end
  if SETTLED[status or ''] and (was_dead or not only_dead) then
    drop('dead', id)
    forget(id, name, upstreams)
  elseif not status and was_dead then -- its record has expired, or is none
    drop('dead', id)
    redis.call('UNLINK', P .. 'l:' .. id)
    if only_dead then gone[#gone + 1] = id end
  elseif not status and not only_dead and FLOW_ENDED[look(P .. 'f:' .. id, 'type')[1] or ''] then -- never was a call
    forget(id)
  end
end
write_journal()
return answer(gone)
