-- children: runs of deployments that are cancelled with the flow run that started them: `children:<parent>`. However that one
-- ends, the mover cancels them soon: `orphaned`.
local function note_child(id, parent, ttl)
  local key = P .. 'children:' .. parent
  if type(redis.pcall('RPUSH', key, id)) ~= 'number' then
    redis.call('DEL', key)
    redis.call('RPUSH', key, id)
  end
  redis.call('PEXPIRE', key, ttl)
  local parent_type = look(P .. 'f:' .. parent, 'type')[1]
  if parent_type == 'CANCELLED' or parent_type == 'CRASHED' then put('orphaned', now, parent) end
end

local function note_end_of_parent(id, state_type)
  local key = P .. 'children:' .. id
  if redis.call('EXISTS', key) == 0 then return end
  if state_type == 'CANCELLED' or state_type == 'CRASHED' then
    put('orphaned', now, id)
  elseif state_type == 'COMPLETED' or state_type == 'FAILED' then
    redis.call('DEL', key)
  end
end
