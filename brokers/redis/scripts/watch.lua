#!lua flags=allow-oom
-- watch: write events of what nobody does: workers that are lost, pools and deployments that are ready or not, flow runs
-- that are late. Of all processes one looks at a time.
-- args: { ms until the next look, lease ms, ms after which a run is late, ms without a poll after which nobody serves a
--         deployment }
-- returns: whether this process has looked
-- needs: worker_events documents journal tickets
local every, lease, late_after, silent = unpack(args)
local MOST = 200
local WAITS_FOR_A_PLACE = 15000 -- ms until it is looked again at a run that is not late as long as it does
local POOLS = 1000
if not redis.call('SET', P .. 'watched', '1', 'NX', 'PX', every) then return cmsgpack.pack(false) end

local is_read = {} -- queues, by the workers that live
local function look_at_workers()
  local living = {}
  for _, consumer in ipairs(range('workers', now - lease, '+inf')) do
    local queues, inbox, name = unpack(look(P .. 'worker:' .. consumer, 'queues', 'inbox', 'name'))
    for queue in string.gmatch(queues or '', '[^,]+') do is_read[queue] = true end
    local worker = worker_of(consumer, inbox)
    living[worker] = true
    if queues then worker_is_there(worker, name) end
  end
  local known = redis.pcall('HGETALL', P .. 'announced')
  for at = 1, known.err and 0 or #known, 2 do
    local worker, seen = string.match(known[at], '^w (.*)$'), number(string.match(known[at + 1], '^%d+'), 0)
    if worker and not living[worker] and now - seen > lease then worker_is_gone(worker, 'lost') end
  end
end

local function status_of(id, packed, paused)
  if paused == '1' then return 'paused' end
  for _, queue in pairs(unpacked(packed or '')) do
    if is_read[queue] then return 'ready' end
  end
  return is_read['p-' .. string.sub(id, 1, 8) .. '-0'] and 'ready' or 'not-ready'
end

local function look_at_pools()
  for _, id in ipairs(places('docs:pool', 0, POOLS - 1)) do
    local name, queues, paused = unpack(look(document('pool', id), 'n', 'queues', 'p'))
    local before, status = announced('p ' .. id) or 'not-ready', status_of(id, queues, paused)
    if status ~= before then
      set_facts(P .. 'announced', 'p ' .. id, status)
      if status ~= 'paused' then happen('work-pool.' .. status, thing('work-pool', id, name)) end
    end
  end
end

local function look_at_deployments()
  for _, id in ipairs(range('ready', '-inf', now - silent, 'LIMIT', 0, MOST)) do
    drop('ready', id)
    local name = look(document('deployment', id), 'n')[1]
    if name then happen('deployment.not-ready', thing('deployment', id, name)) end
  end
end

local function look_at_run(id)
  local status, ticket = unpack(look(record(id), 's', 'e'))
  if status == 'W' then return put('late', now - late_after + WAITS_FOR_A_PLACE, id) end
  if status ~= 'D' and not (status == 'Q' and not owner_of(ticket)) then return end
  local state_type, name = unpack(look(P .. 'f:' .. id, 'type', 'state'))
  if state_type ~= 'SCHEDULED' and state_type ~= 'PENDING' then return end
  if not name or name == 'Scheduled' or name == 'Pending' then changed_flow(id, 'SCHEDULED', 'Late') end
end

look_at_workers()
look_at_pools()
look_at_deployments()
for _, id in ipairs(range('late', '-inf', now - late_after, 'LIMIT', 0, MOST)) do
  drop('late', id)
  pcall(look_at_run, id)
end
write_journal()
write_events()
return cmsgpack.pack(true)
