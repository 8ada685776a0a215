-- artifacts: what runs leave behind. Every list that names one loses it together with its record and chunks.
-- `artends` has those without a key, by the moment at which it is looked whether a run of theirs is still kept.
local MOST_CHUNKS = 100000 -- a damaged number costs no more than looking for so many

local function artifact(id) return P .. 'art:' .. id end
local function chunk(id, number) return P .. 'art:' .. id .. ':' .. number end
local function count_of_chunks(field) return math.min(math.max(0, math.floor(number(field, 0))), MOST_CHUNKS) end

local function list_artifact(id, key, runs, moment)
  put('arts', moment, id)
  for _, run in ipairs(runs) do
    if run ~= '' then put('artsof:' .. run, moment, id) end
  end
  if key == '' then return end
  put('artkeyed', moment, id)
  put('artkey:' .. key, moment, id)
  put('artkeys', moment, key)
end

local function unlist_artifact(id, key, runs)
  drop('arts', id)
  drop('artends', id)
  for _, run in ipairs(runs) do
    if run then drop('artsof:' .. run, id) end
  end
  if not key or key == '' then return end
  drop('artkeyed', id)
  drop('artkey:' .. key, id)
  local newest = places('artkey:' .. key, -1, -1)
  if newest[1] then
    put('artkeys', score('artkey:' .. key, newest[1]), key)
  else
    drop('artkeys', key)
  end
end

local function forget_artifact(id, listed_under)
  -- whether there was one; `listed_under`: the key in whose list it was found, whatever its record says
  local key, flow, task, chunks = unpack(look(artifact(id), 'k', 'f', 't', 'c'))
  unlist_artifact(id, listed_under or key, { flow, task })
  for i = 0, count_of_chunks(chunks) - 1 do redis.call('UNLINK', chunk(id, i)) end
  return redis.call('DEL', artifact(id)) == 1
end

local function time_left(run)
  -- ms until a run is forgotten; 0: it is
  local longest = 0
  for _, key in ipairs({ P .. 'f:' .. run, record(run) }) do
    local left = redis.pcall('PTTL', key)
    if type(left) == 'number' and left ~= -2 then longest = math.max(longest, left > 0 and left or DAY) end
  end
  return longest
end

local function look_after_artifact(id)
  local key, flow, task = unpack(look(artifact(id), 'k', 'f', 't'))
  if key and key ~= '' then return drop('artends', id) end
  local left = math.max(flow and flow ~= '' and time_left(flow) or 0, task and task ~= '' and time_left(task) or 0)
  if left > 0 then return put('artends', now + left, id) end
  forget_artifact(id)
end

local function look_after_artifacts(most)
  for _, id in ipairs(range('artends', '-inf', now, 'LIMIT', 0, most)) do look_after_artifact(id) end
end

local function release_artifacts(run)
  -- a run was forgotten: so is what was kept because of it
  for _, id in ipairs(places('artsof:' .. run, 0, -1)) do look_after_artifact(id) end
end
