-- artifact_create: make an artifact visible, whose chunks have been put.
-- args: { id, {field, value, ...}, key or '', {run or '', ...}, number of chunks, ttl ms, most versions of a key,
--         type }
-- returns: 1, also where it is there already (a repeated create); 0: some of its chunks are not there
-- needs: artifacts events
local id, fields, key, runs, chunks, ttl, most, kind_of = unpack(args, 1, 8)

local function make()
  for i = 0, chunks - 1 do
    if redis.call('EXISTS', chunk(id, i)) == 0 then return 0 end
  end
  for i = 0, chunks - 1 do redis.call('PERSIST', chunk(id, i)) end
  local moment = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  local newest = places('arts', -1, -1)[1]
  if newest then moment = math.max(moment, number(score('arts', newest), 0) + 1) end
  set_facts(artifact(id), unpack(fields))
  set_facts(artifact(id), 'c', chunks, 'ttl', ttl, 'at', string.format('%.0f', moment), 'up', string.format('%.0f', now))
  list_artifact(id, key, runs, moment)
  if key == '' then
    put('artends', now + ttl, id)
  else
    for _, old in ipairs(places('artkey:' .. key, 0, -most - 1)) do forget_artifact(old, key) end
  end
  local related = {}
  for at, kind in ipairs({ 'flow-run', 'task-run' }) do
    if runs[at] ~= '' then related[#related + 1] = thing(kind, runs[at], nil, kind) end
  end
  happen('artifact.created', thing('artifact', id, key), related, { key = key, type = kind_of })
  return 1
end

local made = look(artifact(id), 'at')[1] and 1 or make()
write_events()
look_after_artifacts(20) -- where no worker tidies up
return cmsgpack.pack(made)
